// How a rate falls and restarts, what that does to a training, and the range test that finds a first rate.

import { createNetwork, initialise } from "../engine/network.js";
import { moons } from "../engine/points.js";
import { stream } from "../engine/random.js";
import { factor, plateau } from "../engine/schedules.js";
import { bandOf, quantileOf, spaced } from "../engine/statistics.js";
import { training } from "../engine/training.js";
import { choice, slider } from "../frame/controls.js";
import { written } from "../frame/dom.js";

const EPOCHS = 60, ROWS = 120, BATCH = 12, SEEDS = 6, TESTED = 90;
const KIND_NAMES = [["constant", ["constant", "恒定"]], ["exponential", ["exponential", "指数"]], ["staircase", ["staircase", "阶梯"]], ["inverse", ["1 / (1 + k t)", "1 / (1 + k t)"]], ["cosine", ["cosine", "余弦"]], ["restarts", ["restarts", "重启"]], ["linear", ["linear", "线性"]], ["one-cycle", ["one cycle", "单周期"]]];

function begun(seed, settings) {
  const { X, Y } = moons(ROWS, seed), random = stream(seed, 13), net = initialise(createNetwork({ sizes: [2, 12, 1], activation: "tanh" }), random);
  return training(net, X, Y, { cost: "cross-entropy", batch: BATCH, epochs: EPOCHS, momentum: 0.5, ...settings }, random);
}

function* learnt(seed, settings) {
  const walk = begun(seed, settings), costs = [];
  for (let k = 0; k < EPOCHS; k++) costs.push(walk.epoch());
  yield null;
  return costs;
}

/** Costs over rates that rise from 0.0001 to 100, a step each; the rate where the smoothed cost falls most steeply. */
function rangeTest(seed) {
  const { X, Y } = moons(ROWS, seed), net = initialise(createNetwork({ sizes: [2, 12, 1], activation: "tanh" }), stream(seed, 13));
  const rates = spaced(-4, 2, TESTED).map((v) => 10 ** v), costs = [];
  for (const rate of rates) costs.push(training(net, X, Y, { cost: "cross-entropy", rate, momentum: 0 }).epoch());
  const smooth = costs.map((_, k) => costs.slice(Math.max(0, k - 3), k + 4).reduce((s, v, __, all) => s + v / all.length, 0)), lowest = smooth.indexOf(Math.min(...smooth));
  const falls = smooth.slice(1, lowest + 1).map((c, k) => smooth[k] - c), steepest = falls.length ? falls.indexOf(Math.max(...falls)) : 0;
  return { rates, costs: costs.map((c) => Math.min(c, 5)), suggested: rates[steepest], lowest: rates[lowest] };
}

function* view({ kind, rate, period, decay, multiplier, warmup }) {
  const total = EPOCHS * (ROWS / BATCH), steps = spaced(0, total - 1, total), schedule = { kind, decay, multiplier, period: Math.max(1, Math.round(period * (kind === "inverse" ? total / 20 : total))), warmup: Math.round(warmup * total) };
  const rates = steps.map((t) => rate * factor(schedule, t, total)), tests = [], epochs = spaced(1, EPOCHS, EPOCHS), found = { constant: [], chosen: [] };
  const band = (list, colour, name) => {
    if (!list.length) return [];
    const all = bandOf(list);
    return [{ kind: "band", x: epochs, ...all, colour }, { kind: "line", x: epochs, y: all.middle, colour, name }];
  };
  const course = { title: ["The rate, step by step", "每一步的学习率"], lost: true, height: 220, x: { label: ["step", "步"] }, y: { label: ["learning rate", "学习率"], low: 0 }, layers: [{ kind: "line", x: steps, y: rates, colour: "blue" }] };
  const ends = [rates[0], rates.at(-1)].map((v) => written(v));
  const pictures = () => {
    const suggested = quantileOf(tests.map((t) => t.suggested), 0.5), test = bandOf(tests.map((t) => t.costs));
    return {
      message: [`The rate starts at ${ends[0]} and ends at ${ends[1]}. The range test suggests ${written(suggested, 2)}.`, `学习率从 ${ends[0]} 开始，到 ${ends[1]} 结束。范围测试建议 ${written(suggested, 2)}。`],
      figures: [
        course,
        {
          title: [`What it does to a training: median and middle 80 % of ${SEEDS} seeds`, `对训练的影响：${SEEDS} 个种子的中位数与中间 80 %`],
          x: { label: ["epoch", "epoch"] }, y: { label: ["training cost", "训练代价"], log: true },
          layers: [...band(found.constant, "grey", ["constant rate", "恒定学习率"]), ...band(found.chosen, "blue", ["this schedule", "当前计划"])],
        },
        {
          title: ["Range test: the cost while the rate rises", "范围测试：学习率上升时的代价"], lost: true, height: 240, x: { label: ["learning rate", "学习率"], log: true }, y: { label: ["cost", "代价"], low: 0, high: 2 },
          layers: [
            { kind: "band", x: tests[0].rates, ...test, colour: "orange" }, { kind: "line", x: tests[0].rates, y: test.middle, colour: "orange", name: ["cost", "代价"] },
            { kind: "mark", x: [suggested], name: ["suggested", "建议值"] }, { kind: "mark", x: [rate], colour: "blue", name: ["base rate", "基础学习率"] },
          ],
        },
      ],
    };
  };
  yield { message: [`The rate starts at ${ends[0]} and ends at ${ends[1]}.`, `学习率从 ${ends[0]} 开始，到 ${ends[1]} 结束。`], figures: [course] };
  for (let seed = 0; seed < SEEDS; seed++) {
    tests.push(rangeTest(seed));
    found.chosen.push(yield* learnt(seed, { rate, schedule }));
    if (kind !== "constant") found.constant.push(yield* learnt(seed, { rate }));
    yield pictures();
  }
}

/** The largest rate at which descent on a bowl of curvature h still falls, by trying: it is 2 / h. */
function edge(h) {
  const falls = (rate) => Math.abs(1 - rate * h) < 1;
  return spaced(0.001, 1, 1000).filter(falls).at(-1);
}

function* numbers() {
  const cosine = spaced(0, 10, 11).map((t) => factor({ kind: "cosine" }, t, 10)), tops = [], doubling = { kind: "restarts", period: 5, multiplier: 2 };
  for (let t = 0; t < 36; t++) if (factor(doubling, t, 36) > 0.9999) tops.push(t);
  const half = spaced(0, 39, 40).map((t) => factor({ kind: "cosine" }, t, 40)), falls = half.slice(1).map((v, k) => half[k] - v), follow = plateau({ decay: 0.1, period: 2 }), flat = [5, 4, 4.1, 4.2, 4.3, 4.4].map(follow);
  const tests = [], gap = (kind, formula, more) => Math.max(...spaced(0, 39, 40).map((t) => Math.abs(factor({ kind, ...more }, t, 40) - formula(t))));
  for (let seed = 0; seed < SEEDS; seed++) {
    tests.push(rangeTest(seed));
    yield null;
  }
  yield {
    ...Object.fromEntries(cosine.map((v, t) => [`cosine${t}`, v])), exponential: gap("exponential", (t) => 0.9 ** t, { decay: 0.9 }), staircase: gap("staircase", (t) => 0.5 ** Math.floor(t / 10), { decay: 0.5, period: 10 }), inverse: gap("inverse", (t) => 1 / (1 + 0.2 * t), { decay: 0.2 }),
    top1: tops[1], top2: tops[2], top3: tops[3], restart: factor({ kind: "restarts", period: 10 }, 20, 40), steepest: falls.indexOf(Math.max(...falls)), dropped: flat[3], once: flat.at(-1),
    below: tests.filter((t) => t.suggested < t.lowest).length, suggested: quantileOf(tests.map((t) => t.suggested), 0.5), edge: edge(50),
  };
  const ends = { constant: [], cosine: [] };
  for (let seed = 0; seed < SEEDS; seed++) for (const kind of Object.keys(ends)) ends[kind].push((yield* learnt(seed, { rate: 1.5, schedule: { kind } })).at(-1));
  yield { gain: ends.constant.map((c, k) => Math.log10(c / ends.cosine[k])).reduce((s, v) => s + v) / SEEDS };
}

export const page = {
  controls: [
    slider("rate", ["base rate", "基础学习率"], -3, 1, 0.05, 0.2, { log: true }),
    choice("kind", ["schedule", "计划"], KIND_NAMES, "restarts"),
    slider("period", ["period, share of the training", "周期（占训练的比例）"], 0.02, 1, 0.02, 0.2),
    slider("decay", ["decay k", "衰减 k"], 0.01, 1, 0.01, 0.5),
    slider("multiplier", ["growth of cycles", "周期的增长倍数"], 1, 3, 0.25, 1),
    slider("warmup", ["warm-up, share of the training", "预热（占训练的比例）"], 0, 0.3, 0.01, 0),
  ],
  presets: [
    { name: ["restarts that double", "周期加倍的重启"], values: { kind: "restarts", period: 0.14, multiplier: 2 } },
    { name: ["one cycle", "单周期"], values: { kind: "one-cycle", warmup: 0 } },
    { name: ["staircase", "阶梯"], values: { kind: "staircase", period: 0.25, decay: 0.3 } },
  ],
  view,
  numbers,
};
