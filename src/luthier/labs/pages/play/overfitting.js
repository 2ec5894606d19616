// Few points, many weights, and four remedies.

import { fromRows, matrix } from "../engine/matrix.js";
import { backward, createNetwork, forward, initialise, meanCost } from "../engine/network.js";
import { addPenalty, dropMasks, penalty } from "../engine/penalties.js";
import { moons } from "../engine/points.js";
import { interpolated, polynomialAt } from "../engine/polynomials.js";
import { stream } from "../engine/random.js";
import { networkOf, sampleOf } from "../engine/small_networks.js";
import { bandOf, meanOf, quantileOf, spaced } from "../engine/statistics.js";
import { accuracy, training } from "../engine/training.js";
import { slider } from "../frame/controls.js";
import { percent, written } from "../frame/dom.js";

const UNITS = 24, SEEDS = 8, EVERY = 20, EVALUATIONS = 25, HELD_OUT = 200, WRONG = 0.1;
const LAMBDAS = [0.01, 0.03, 0.1, 0.3, 1, 3, 5, 10, 30];
const TEN_X = [0.7, 1.3, 1.9, 2.6, 2.9, 3.6, 3.8, 3.95, 4.4, 4.9], TEN_Y = [1.8, 2.2, 4, 5, 6.1, 7, 7.4, 8, 9.1, 10];

/**
 * One seed's network: costs and accuracy on new points at each evaluation, and where early stopping would end.
 * Yields now and then, with `live` what there is by then.
 */
function* learn({ rows, l1, l2, drop, patience }, seed, live = false) {
  const { X, Y } = moons(rows, seed, { wrong: WRONG }), held = moons(HELD_OUT, 1000 + seed, {}), random = stream(seed, 5);
  const net = initialise(createNetwork({ sizes: [2, UNITS, 1], activation: "tanh" }), random, "xavier");
  const walk = training(net, X, Y, { cost: "cross-entropy", rate: 0.3, momentum: 0.9, l1, l2, drop }, random);
  const result = { fitted: [], fresh: [], right: [], net, X, Y };
  for (let k = 0; k < EVALUATIONS; k++) {
    for (let step = 0; step < EVERY; step++) walk.epoch();
    result.fitted.push(meanCost(forward(net, X).A.at(-1), Y, "cross-entropy"));
    result.fresh.push(meanCost(forward(net, held.X).A.at(-1), held.Y, "cross-entropy"));
    result.right.push(accuracy(net, held.X, held.Y));
    if (k % 5 === 4) yield live ? result : null;
  }
  result.stop = patience ? stopAt(result.fresh, patience) : { best: EVALUATIONS - 1, end: EVALUATIONS - 1 };
  result.answer = result.right[result.stop.best];
  return result;
}

/** Where training ends after `patience` evaluations without a lower cost, and the best one before. */
function stopAt(costs, patience) {
  let best = 0;
  for (let k = 1; k < costs.length; k++) {
    if (costs[k] < costs[best]) best = k;
    else if (k - best >= patience) return { best, end: k };
  }
  return { best, end: costs.length - 1 };
}

function* answers(values, seeds = SEEDS) {
  const result = [];
  for (let seed = 0; seed < seeds; seed++) result.push((yield* learn(values, seed)).answer);
  return result;
}

function boundary({ net, X, Y }) {
  const x = spaced(-2.2, 2.2, 44), y = spaced(-1.6, 1.6, 32), a = forward(net, fromRows(y.flatMap((v) => x.map((u) => [u, v])))).A.at(-1).values;
  const z = y.map((_, r) => Array.from(a.subarray(r * x.length, (r + 1) * x.length)));
  const of = (kind) => Array.from(Y.values, (v, k) => k).filter((k) => Y.values[k] === kind);
  const points = (kind, colour, name) => ({ kind: "points", x: of(kind).map((k) => X.values[2 * k]), y: of(kind).map((k) => X.values[2 * k + 1]), colour, name, size: 4 });
  return {
    title: ["What the first network has learnt", "第一个网络学到的分界"], height: 280, x: { label: "x₁", low: -2.2, high: 2.2 }, y: { label: "x₂", low: -1.6, high: 1.6 },
    layers: [
      { kind: "field", x, y, z, bounds: [0.05, 0.2, 0.35, 0.5], colour: "blue" },
      { kind: "field", x, y, z: z.map((row) => row.map((v) => -v)), bounds: [-0.95, -0.8, -0.65, -0.5], colour: "orange" },
      points(0, "blue", ["class 0", "类别 0"]), points(1, "orange", ["class 1", "类别 1"]),
    ],
  };
}

function polynomials() {
  const c = interpolated(TEN_X, TEN_Y), x = spaced(0.5, 5.4, 120);
  return {
    title: ["Ten points, a polynomial of degree 9, and a line", "十个点、一条 9 次多项式和一条直线"], lost: true, height: 240, x: { label: "x" }, y: { label: "y", low: 0, high: 14 },
    layers: [
      { kind: "line", x, y: x.map((v) => polynomialAt(v, TEN_X, c)), colour: "orange", name: ["degree 9, through all points", "9 次，穿过所有点"] },
      { kind: "line", x, y: x.map((v) => 2 * v), colour: "blue", name: "y = 2x" }, { kind: "points", x: TEN_X, y: TEN_Y, colour: "text" },
    ],
  };
}

function* view(values) {
  const runs = [], epochs = spaced(EVERY, EVERY * EVALUATIONS, EVALUATIONS), band = (name, colour, title) => {
    const all = bandOf(runs.map((one) => one[name]));
    return [{ kind: "band", x: epochs, ...all, colour }, { kind: "line", x: epochs, y: all.middle, colour, name: title }];
  };
  const shown = (more = []) => {
    const rate = written(100 * meanOf(runs.map((one) => one.answer ?? one.right.at(-1))), 3), gap = written(meanOf(runs.map((one) => one.fresh.at(-1) - one.fitted.at(-1))), 2);
    return {
      message: [`Accuracy on new points: ${rate} % over ${runs.length} seeds. The cost on them ends ${gap} above that on the training points.`, `新点的准确率：${rate} %（${runs.length} 个种子）。新点上的代价最后比训练点高 ${gap}。`],
      figures: [
        {
          title: ["Cost on training points and on new ones", "训练点与新点上的代价"], x: { label: ["epoch", "epoch"] }, y: { label: ["cost", "代价"], low: 0, high: 1.2 },
          layers: [...band("fitted", "grey", ["training points", "训练点"]), ...band("fresh", "orange", ["new points", "新点"]), ...(values.patience ? [{ kind: "mark", x: [epochs[runs[0].stop?.end ?? EVALUATIONS - 1]], name: ["first seed stops", "第一个种子停止处"] }] : [])],
        },
        ...more, boundary(runs[0]), polynomials(),
      ],
    };
  };
  for (const part of learn(values, 0, true)) { // the first curve is seen to grow
    runs[0] = part;
    yield shown();
  }
  for (let seed = 1; seed < SEEDS; seed++) {
    runs.push(yield* learn(values, seed));
    yield shown();
  }
  const found = [];
  for (const l2 of LAMBDAS) {
    found.push(yield* answers({ ...values, l2 }, 4));
    const at = (share) => found.map((one) => 100 * quantileOf(one, share)), x = LAMBDAS.slice(0, found.length);
    yield shown([{
      title: ["Accuracy on new points, by λ of the L2 penalty", "新点准确率随 L2 惩罚的 λ 变化"], height: 230, x: { label: "λ", log: true, low: 0.01, high: 30 }, y: { label: ["accuracy, %", "准确率 %"], low: 45, high: 100 },
      layers: [{ kind: "band", x, low: at(0.1), high: at(0.9), colour: "blue" }, { kind: "line", x, y: at(0.5), colour: "blue", name: ["median and middle 80 % of 4 seeds", "4 个种子的中位数与中间 80 %"] }, { kind: "mark", x: [Math.max(0.01, values.l2)], name: ["this λ", "当前 λ"] }],
    }]);
  }
}

const START = [0.5, -0.8, 1.2, 0.4, -0.6, 0.9, 0.1, -0.3, 0.2, 0.7, -1.1, 0.8, 0.05];
const SMALL = { l1: 0, l2: 2, n: 20 };

/** Slopes of cost and penalty against differences, biases among them. */
function penalisedGap(chosen) {
  const net = networkOf([2, 3, 1], START), X = sampleOf([0.6, 0.9]), Y = sampleOf([1]), h = 1e-6;
  const total = () => meanCost(forward(net, X).A.at(-1), Y, "cross-entropy") + penalty(net, chosen);
  const { flat, gradient } = backward(net, forward(net, X), Y, "cross-entropy");
  addPenalty(net, gradient, chosen);
  return Math.max(...Array.from(flat, (slope, k) => {
    const kept = net.parameters[k], side = (s) => ((net.parameters[k] = kept + s), total());
    const found = (side(h) - side(-h)) / (2 * h);
    net.parameters[k] = kept;
    return Math.abs(found - slope);
  }));
}

/** Weights after steps with no slope but the penalty's. */
function shrunk(weight, steps, chosen, rate = 0.5) {
  const net = networkOf([1, 1], [weight, 0]);
  for (let k = 0; k < steps; k++) {
    const flat = new Float64Array(2), gradient = [{ W: matrix(1, 1, flat.subarray(0, 1)) }];
    addPenalty(net, gradient, chosen);
    net.parameters[0] -= rate * flat[0];
  }
  return net.parameters[0];
}

/** Mean of what dropout leaves, share kept, and the largest slope of a dropped unit's weights. */
function dropped(p) {
  const net = networkOf([2, 3, 1], START), [mask] = dropMasks({ sizes: [2, 200, 1] }, 500, p, stream(0));
  const masks = [fromRows([[0, 2, 2]])], { gradient } = backward(net, forward(net, sampleOf([0.6, 0.9]), { training: true, masks }), sampleOf([1]), "cross-entropy");
  return { mean: meanOf(Array.from(mask.values)), kept: meanOf(Array.from(mask.values, (v) => (v ? 1 : 0))), slope: Math.max(...gradient[0].W.values.subarray(0, 2).map(Math.abs)) };
}

function* numbers() {
  const c = interpolated(TEN_X, TEN_Y), net = networkOf([2, 3, 1], START), drop = dropped(0.5);
  const majority = [3, 4, 5].reduce((sum, k) => sum + [0, 0, 0, 10, 5, 1][k] * 0.7 ** k * 0.3 ** (5 - k), 0);
  yield {
    residual: Math.max(...TEN_X.map((x, k) => Math.abs(polynomialAt(x, TEN_X, c) - TEN_Y[k]))), leading: c.at(-1), six: polynomialAt(6, TEN_X, c), ten: polynomialAt(10, TEN_X, c),
    rms: Math.sqrt(meanOf(TEN_X.map((x, k) => (TEN_Y[k] - 2 * x) ** 2))), added: penalty(net, SMALL), gap2: penalisedGap(SMALL), gap1: penalisedGap({ l1: 2, l2: 0, n: 20 }),
    step: shrunk(1, 1, { l2: 0.1, n: 1000 }), scaled: shrunk(1, 1, { l2: 5, n: 50000 }), unscaled: shrunk(1, 1, { l2: 0.1, n: 50000 }), epoch: shrunk(1, 5000, { l2: 5, n: 50000 }),
    zero: shrunk(0, 20, { l1: 0.1, n: 100 }), above: (2 - shrunk(2, 1, { l2: 1, n: 100 })) / (2 - shrunk(2, 1, { l1: 1, n: 100 })), below: (0.5 - shrunk(0.5, 1, { l2: 1, n: 100 })) / (0.5 - shrunk(0.5, 1, { l1: 1, n: 100 })),
    kept: drop.kept, mean: drop.mean, silent: drop.slope, majority, stops: stopAt([5, 4, 3, 3.2, 3.1, 3.3, 2, 1], 3).end, later: stopAt([5, 4, 3, 3.2, 3.1, 3.3, 2, 1], 4).best,
  };
  const plain = { rows: 40, l1: 0, l2: 0, drop: 0, patience: 0 };
  yield { none: 100 * meanOf(yield* answers(plain)) };
  yield { five: 100 * meanOf(yield* answers({ ...plain, l2: 5 })) };
  yield { half: 100 * meanOf(yield* answers({ ...plain, l2: 0.5 })) };
}

export const page = {
  controls: [
    slider("l2", ["λ of L2", "L2 的 λ"], 0, 30, 0.1, 0),
    slider("l1", ["λ of L1", "L1 的 λ"], 0, 3, 0.05, 0),
    slider("drop", ["dropout: probability to drop", "dropout：丢弃概率"], 0, 0.8, 0.05, 0),
    slider("patience", ["early stopping: patience (0: off)", "早停：耐心（0 为关闭）"], 0, 15, 1, 0),
    slider("rows", ["training points", "训练点数"], 10, 200, 10, 40),
  ],
  presets: [
    { name: "L2, λ = 5", values: { l2: 5, l1: 0, drop: 0, patience: 0 } },
    { name: "L1", values: { l2: 0, l1: 0.3, drop: 0, patience: 0 } },
    { name: "dropout 0.5", values: { l2: 0, l1: 0, drop: 0.5, patience: 0 } },
    { name: ["early stopping", "早停"], values: { l2: 0, l1: 0, drop: 0, patience: 3 } },
    { name: ["more points", "更多的点"], values: { l2: 0, l1: 0, drop: 0, patience: 0, rows: 200 } },
  ],
  view,
  numbers,
};
