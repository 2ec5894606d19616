// Random search against a grid, scales, and coarse to fine.

import { stream } from "../engine/random.js";
import { spaced } from "../engine/statistics.js";
import { choice, slider } from "../frame/controls.js";
import { percent } from "../frame/dom.js";

const TRIED = 200, SAMPLED = 400;
/** How good a setting is: the first number matters, the second as much as `second` says; best at 0.37 and 0.62. */
const merit = (second) => ([a, b]) => Math.exp(-((a - 0.37) ** 2) / 0.002 - (second * (b - 0.62) ** 2) / 0.02);
const gridOf = (side) => spaced(0.5, side - 0.5, side).flatMap((a) => spaced(0.5, side - 0.5, side).map((b) => [a / side, b / side]));
const drawnIn = (box, count, random) => Array.from({ length: count }, () => box.map(([low, high]) => low + (high - low) * random.uniform()));
const bestOf = (list, f) => Math.max(...list.map(f));
const SCALES = {
  log: { name: ["by powers of 10", "按 10 的幂"], draw: (u) => 10 ** (-4 + 4 * u) },
  uniform: { name: ["evenly", "均匀"], draw: (u) => 1e-4 + (1 - 1e-4) * u },
  window: { name: ["momentum, by its window", "动量，按窗口"], draw: (u) => 1 - 10 ** (-3 + 2 * u) },
};

/** Rounds of random search, each in the box around the best four so far: [{ box, points }]. */
function rounds(count, trials, f, random) {
  const result = [], all = [];
  let box = [[0, 1], [0, 1]];
  for (let k = 0; k < count; k++) {
    const found = drawnIn(box, trials, random);
    result.push({ box, points: found });
    all.push(...found);
    const top = [...all].sort((a, b) => f(b) - f(a)).slice(0, 4);
    box = [0, 1].map((axis) => [Math.min(...top.map((p) => p[axis])), Math.max(...top.map((p) => p[axis]))]);
  }
  return result;
}

const columns = (list) => ({ x: list.map((p) => p[0]), y: list.map((p) => p[1]) });

function* view({ side, second, seed, scale, rounds: count }) {
  const n = Math.round(side) ** 2, f = merit(second), grid = gridOf(Math.round(side)), random = drawnIn([[0, 1], [0, 1]], n, stream(Math.round(seed), 51)), x = spaced(0, 1, 51), y = spaced(0, 1, 31);
  const tries = Array.from({ length: TRIED }, (_, k) => bestOf(drawnIn([[0, 1], [0, 1]], n, stream(k, 52)), f)), ofGrid = bestOf(grid, f), wins = tries.filter((v) => v > ofGrid).length / TRIED, sorted = [...tries].sort((a, b) => a - b);
  const field = { kind: "field", x, y, z: y.map((b) => x.map((a) => -f([a, b]))), colour: "green" }, draw = stream(Math.round(seed), 53), values = Array.from({ length: SAMPLED }, () => SCALES[scale].draw(draw.uniform()));
  const shown = scale === "window" ? values.map((v) => 1 - v) : values, decades = scale === "window" ? [-3, -2] : [-4, -3, -2, -1], share = decades.map((d) => shown.filter((v) => v >= 10 ** d && v < 10 ** (d + 1)).length / SAMPLED);
  const found = rounds(Math.round(count), 15, f, stream(Math.round(seed), 54)), tint = ["grey", "orange", "blue", "purple"];
  const edges = ({ box: [[a, b], [c, d]] }) => ({ x: [a, b, b, a, a], y: [c, c, d, d, c] });
  yield {
    message: [`With ${n} trials the grid tries ${Math.round(side)} values of what matters, random search ${n}. Random search finds a better setting in ${percent(wins)} of ${TRIED} seeds.`, `${n} 次试验中，网格对重要的量只试 ${Math.round(side)} 个值，随机搜索试 ${n} 个。随机搜索在 ${TRIED} 个种子的 ${percent(wins)} 中更好。`],
    figures: [
      { title: ["Grid and random trials; deeper colour is better", "网格与随机试验；颜色越浓越好"], lost: true, height: 300, x: { label: ["what matters", "重要的量"], low: 0, high: 1 }, y: { label: ["what does not", "不重要的量"], low: 0, high: 1 }, layers: [field, { kind: "points", ...columns(grid), colour: "orange", hollow: true, name: ["grid", "网格"] }, { kind: "points", ...columns(random), colour: "blue", name: ["random", "随机"] }] },
      { title: [`Best of ${n} random trials, sorted over ${TRIED} seeds`, `${n} 次随机试验的最佳值，按 ${TRIED} 个种子排序`], height: 200, x: { label: ["share of seeds", "种子的比例"], low: 0, high: 1 }, y: { label: ["best found", "找到的最佳值"], low: 0, high: 1 }, layers: [{ kind: "line", x: spaced(0, 1, TRIED), y: sorted, colour: "blue", name: ["random", "随机"] }, { kind: "mark", y: [ofGrid], name: ["grid", "网格"], colour: "orange" }] },
      { title: [`${SAMPLED} trials by decade, drawn ${SCALES[scale].name[0]}`, `${SAMPLED} 次试验按数量级的分布（${SCALES[scale].name[1]}）`], lost: true, height: 200, x: { label: scale === "window" ? "1 − β" : ["learning rate", "学习率"], names: decades.map((d) => `10${"⁻"}${"⁰¹²³⁴"[-d]} – 10${d + 1 ? `⁻${"⁰¹²³⁴"[-d - 1]}` : "⁰"}`) }, y: { label: ["share", "占比"], low: 0, high: 1.08, ticks: [0, 0.25, 0.5, 0.75, 1] }, layers: [{ kind: "bars", x: decades.map((_, k) => k), y: share, colour: "purple", width: 0.6, labels: share.map((v) => percent(v)) }] },
      { title: ["Coarse to fine: each round in the box around the best 4", "由粗到细：每一轮在最好 4 点的框内"], lost: true, height: 300, x: { label: ["what matters", "重要的量"], low: 0, high: 1 }, y: { label: ["what does not", "不重要的量"], low: 0, high: 1 }, layers: [field, ...found.flatMap((round, k) => [{ kind: "line", ...edges(round), colour: tint[k], width: 1.6 }, { kind: "points", ...columns(round.points), colour: tint[k], name: [`round ${k + 1}`, `第 ${k + 1} 轮`] }])] },
    ],
  };
}

/** Kolmogorov and Smirnov's largest distance of values from an even distribution on [0, 1]. */
function distanceFromEven(values) {
  const sorted = [...values].sort((a, b) => a - b), n = sorted.length;
  return Math.max(...sorted.map((v, k) => Math.max((k + 1) / n - v, v - k / n)));
}

/** Rounds that refining takes on the wrong scale, until a rate is within a tenth of a power of ten of 0.001. */
function roundsOnWrongScale(seed) {
  const random = stream(seed, 61);
  let [low, high] = [1e-4, 1];
  for (let round = 1; round <= 12; round++) {
    const rates = Array.from({ length: 25 }, () => low + (high - low) * random.uniform()), off = (v) => Math.abs(Math.log10(v) + 3);
    const best = rates.reduce((a, b) => (off(b) < off(a) ? b : a));
    if (off(best) < 0.1) return round;
    [low, high] = [Math.max(1e-4, best / 5), Math.min(1, best * 2)];
  }
  return 13;
}

function* numbers() {
  const f = merit(0), grid = gridOf(5), random = drawnIn([[0, 1], [0, 1]], 25, stream(0, 51)), seeds = Array.from({ length: 500 }, (_, k) => k), ofGrid = bestOf(grid, f);
  const draw = stream(9), many = (scale, n) => Array.from({ length: n }, () => SCALES[scale].draw(draw.uniform())), rates = many("log", 20000), decade = (d) => rates.filter((v) => v >= 10 ** d && v < 10 ** (d + 1)).length / 20000;
  const momenta = many("window", 5000), layers = Array.from({ length: 3000 }, () => 2 + draw.below(3)), both = merit(1), pairs = seeds.slice(0, 200).map((seed) => rounds(2, 15, both, stream(seed, 54)));
  const within = ({ box }, [first]) => box.every(([low, high], axis) => low >= first.box[axis][0] && high <= first.box[axis][1]), wrong = seeds.slice(0, 40).map(roundsOnWrongScale);
  const two = pairs.map((r) => bestOf(r.flatMap((one) => one.points), both)), once = seeds.slice(0, 200).map((seed) => bestOf(drawnIn([[0, 1], [0, 1]], 30, stream(seed, 55)), both)), mean = (v) => v.reduce((s, x) => s + x) / v.length;
  yield {
    ofGrid: new Set(grid.map((p) => p[0])).size, ofRandom: new Set(random.map((p) => p[0])).size, wins: seeds.filter((seed) => bestOf(drawnIn([[0, 1], [0, 1]], 25, stream(seed, 52)), f) > ofGrid).length / 500,
    d1: decade(-4), d2: decade(-3), d3: decade(-2), d4: decade(-1), above: many("uniform", 20000).filter((v) => v > 0.1).length / 20000,
    lowest: Math.min(...momenta), highest: Math.max(...momenta), even: distanceFromEven(momenta.map((v) => (Math.log10(1 - v) + 3) / 2)), window1: 1 / (1 - 0.9), window2: 1 / (1 - 0.99), window3: 1 / (1 - 0.999),
    two: layers.filter((v) => v === 2).length / 3000, three: layers.filter((v) => v === 3).length / 3000, whole: layers.every(Number.isInteger) ? 1 : 0,
    contained: pairs.filter((r) => within(r[1], r)).length, worse: pairs.filter((r) => bestOf([...r[0].points, ...r[1].points], both) < bestOf(r[0].points, both)).length, gain: mean(two) / mean(once), rounds: mean(wrong), found: wrong.filter((r) => r <= 12).length,
  };
}

export const page = {
  controls: [
    slider("side", ["values of a grid's axis", "网格每轴的取值数"], 2, 9, 1, 5),
    slider("second", ["how much the second number matters", "第二个量的重要程度"], 0, 1, 0.05, 0),
    choice("scale", ["rates are drawn", "学习率的抽取"], Object.entries(SCALES).map(([key, { name }]) => [key, name]), "uniform"),
    slider("rounds", ["rounds, coarse to fine", "轮数，由粗到细"], 1, 4, 1, 3),
    slider("seed", ["seed", "随机种子"], 0, 50, 1, 0),
  ],
  presets: [
    { name: ["both matter", "两者都重要"], values: { second: 1 } },
    { name: ["powers of 10", "10 的幂"], values: { scale: "log" } },
  ],
  view,
  numbers,
};
