// One layer's weighted inputs before and after batch norm, and a deep network with it and without.

import { columnMoments, follow, NORM_EPSILON, normalise, normaliseBackward } from "../engine/batch_norm.js";
import { sigmoid } from "../engine/functions.js";
import { mapped, matrix } from "../engine/matrix.js";
import { createNetwork, forward, initialise } from "../engine/network.js";
import { moons } from "../engine/points.js";
import { stream } from "../engine/random.js";
import { bandOf, deviationOf, meanOf, spaced } from "../engine/statistics.js";
import { training } from "../engine/training.js";
import { slider } from "../frame/controls.js";
import { written } from "../frame/dom.js";

const SEEDS = 5, EPOCHS = 40, ROWS = 120, DEEP = [2, 16, 16, 16, 16, 1];
const NAMES = { without: ["without", "不用批归一化"], with: ["with batch norm", "用批归一化"] }, COLOURS = { without: "orange", with: "blue" };

const normalBatch = (rows, mean, deviation, seed) => {
  const random = stream(seed, 21), Z = matrix(rows, 1);
  return mapped(Z, () => mean + deviation * random.normal());
};

function shares(values, low, high, bins = 36) {
  const counts = new Array(bins).fill(0);
  values.forEach((v) => {
    const k = Math.floor(((v - low) / (high - low)) * bins);
    if (k >= 0 && k < bins) counts[k]++;
  });
  return counts.map((c) => c / values.length);
}

/** Costs by epoch of a deep sigmoid network, and how the mean of its third layer's weighted inputs drifts, in deviations. */
function* deep(batchNorm, rate, batch, seed) {
  const { X, Y } = moons(ROWS, seed), random = stream(seed, 9);
  const net = initialise(createNetwork({ sizes: DEEP, activation: "sigmoid", batchNorm }), random, "xavier");
  const walk = training(net, X, Y, { cost: "cross-entropy", rate, batch, momentum: 0.9 }, random), costs = [], drift = [];
  let first = null;
  for (let k = 0; k < EPOCHS; k++) {
    const { mean, variance } = columnMoments(forward(net, X, { training: true }).Z[2]);
    first ??= { mean, deviation: variance.map((v) => Math.sqrt(v + 1e-6)) };
    drift.push(Math.max(...mean.map((m, o) => Math.abs(m - first.mean[o]) / first.deviation[o])));
    costs.push(walk.epoch());
    if (k % 10 === 9) yield null;
  }
  return { costs, drift };
}

function* view({ batch, mean, deviation, scale, shift, rate }) {
  const Z = normalBatch(batch, mean, deviation, 0), { out, moments } = normalise(Z, [scale], [shift]), many = normalBatch(4000, mean, deviation, 1);
  const wide = normalise(many, [scale], [shift], moments).out, x = spaced(-8, 8, 36), found = { without: [], with: [] }, epochs = spaced(1, EPOCHS, EPOCHS);
  const [m, s] = [meanOf(Array.from(out.values)), deviationOf(Array.from(out.values))].map((v) => written(Math.abs(v) < 1e-9 ? 0 : v));
  const message = [
    `Before: mean ${written(moments.mean[0])}, standard deviation ${written(Math.sqrt(moments.variance[0]))} in this batch of ${batch}. After: mean ${m}, standard deviation ${s}.`,
    `之前：这个批次（${batch} 行）的均值为 ${written(moments.mean[0])}，标准差为 ${written(Math.sqrt(moments.variance[0]))}。之后：均值 ${m}，标准差 ${s}。`,
  ];
  const [sizes, spread] = [[2, 4, 8, 16, 32, 64, 128], (rows) => deviationOf(Array.from({ length: 60 }, (_, k) => meanOf(Array.from(normalBatch(rows, mean, deviation, 100 + k).values))))];
  const before = {
    title: ["Weighted inputs before and after", "批归一化之前与之后的带权输入"], lost: true, height: 240, x: { label: "z", low: -8, high: 8 }, y: { label: ["share", "占比"], low: 0 },
    layers: [
      { kind: "bars", x, y: shares(many.values, -8, 8), colour: "orange", width: 0.95, name: ["before", "之前"] },
      { kind: "line", x, y: shares(wide.values, -8, 8), colour: "blue", name: ["after", "之后"], step: true },
      { kind: "line", x, y: x.map((z) => 0.2 * sigmoid(z)), colour: "grey", dash: true, name: ["sigmoid, scaled", "sigmoid（缩放）"] },
    ],
  };
  const noise = {
    title: ["Noise of a batch's mean, by the size of the batch", "批次均值的噪声随批大小的变化"], height: 210, x: { label: ["rows of a batch", "批次的行数"], log: true, low: 2, high: 128, ticks: [2, 8, 32, 128] }, y: { label: ["standard deviation", "标准差"], low: 0 },
    layers: [{ kind: "line", x: sizes, y: sizes.map((n) => deviation / Math.sqrt(n)), colour: "grey", dash: true, name: ["deviation over the root of the size", "标准差除以批大小的平方根"] }, { kind: "points", x: sizes, y: sizes.map(spread), colour: "blue", name: ["60 batches", "60 个批次"] }, { kind: "mark", x: [batch], name: ["this size", "当前批大小"] }],
  };
  const bands = (name) => Object.keys(NAMES).flatMap((kind) => {
    if (!found[kind].length) return [];
    const band = bandOf(found[kind].map((one) => one[name]));
    return [{ kind: "band", x: epochs, ...band, colour: COLOURS[kind] }, { kind: "line", x: epochs, y: band.middle, colour: COLOURS[kind], name: NAMES[kind] }];
  });
  yield { message, figures: [before, noise] };
  for (let seed = 0; seed < SEEDS; seed++) {
    for (const kind of ["without", "with"]) found[kind].push(yield* deep(kind === "with", rate, batch, seed));
    const learnt = { title: [`4 hidden sigmoid layers learn: median and middle 80 % of ${SEEDS} seeds`, `4 个隐藏 sigmoid 层的学习：${SEEDS} 个种子的中位数与中间 80 %`], x: { label: ["epoch", "epoch"] }, y: { label: ["training cost", "训练代价"], low: 0, high: 0.9 }, layers: bands("costs") };
    const drifted = { title: ["How far the third layer's inputs drift", "第三层输入的漂移"], height: 210, x: { label: ["epoch", "epoch"] }, y: { label: ["deviations from the start", "偏离起点（标准差）"], low: 0 }, layers: bands("drift") };
    yield { message, figures: [before, learnt, drifted, noise] };
  }
}

/** The cost sum(scale n G) by differences, beside the six formulas. */
function backwardGap(Z, G, scale) {
  const cost = (M) => normalise(M, scale, [0, 0, 0]).out.values.reduce((sum, v, k) => sum + v * G.values[k], 0);
  const { byInput } = normaliseBackward(G, normalise(Z, scale, [0, 0, 0]), scale), h = 1e-5;
  return Math.max(...Array.from(Z.values, (_, k) => {
    const side = (s) => cost(mapped(Z, (v, at) => v + (at === k ? s : 0)));
    return Math.abs((side(h) - side(-h)) / (2 * h) - byInput.values[k]);
  }));
}

function* numbers() {
  const random = stream(0, 4), Z = mapped(matrix(24, 3), () => 2 + 3 * random.normal()), G = mapped(matrix(24, 3), () => random.normal()), one = [1, 1, 1], none = [0, 0, 0];
  const plain = normalise(Z, one, none), after = columnMoments(plain.out), { mean, variance } = columnMoments(Z), most = (values) => Math.max(...Array.from(values, Math.abs));
  const restored = normalise(Z, variance.map((v) => Math.sqrt(v + NORM_EPSILON)), mean), shifted = normalise(mapped(Z, (v) => v + 70), one, none), back = normaliseBackward(G, plain, one), total = new Float64Array(3), along = new Float64Array(3);
  back.byInput.values.forEach((d, k) => {
    total[k % 3] += d;
    along[k % 3] += d * plain.normed.values[k];
  });
  const scaled = normalise(Z, [2, 0.5, 1], [1, -1, 0]), seen = columnMoments(scaled.out), average = [0];
  for (let k = 0; k < 10; k++) follow(average, [1], 0.9);
  const spreadOfMeans = (rows) => deviationOf(Array.from({ length: 400 }, (_, k) => meanOf(Array.from(normalBatch(rows, 0, 1, 500 + k).values)))) ** 2 * rows;
  const net = initialise(createNetwork({ sizes: [2, 4, 1], batchNorm: true }), stream(3)), single = forward(net, matrix(1, 2, Float64Array.from([0.3, -0.2]))).A[2].values[0];
  const pair = forward(net, matrix(2, 2, Float64Array.from([0.3, -0.2, 5, 7]))).A[2].values[0], changed = mapped(Z, (v, k) => (k < 3 ? v + 5 : v));
  yield {
    mean: most(after.mean), variance: most(after.variance.map((v, o) => v - variance[o] / (variance[o] + NORM_EPSILON))), shift: seen.mean[0], scale: Math.sqrt(seen.variance[0]), restored: most(restored.out.values.map((v, k) => v - Z.values[k])),
    bias: most(shifted.out.values.map((v, k) => v - plain.out.values[k])), byBias: most(total), along: most(along), gap: backwardGap(Z, G, [1.5, 0.7, 1]), noise: meanOf([4, 16, 64].map(spreadOfMeans)),
    average: average[0], share: 1 - 1 / Math.E, single: Math.abs(single - pair), line: Math.max(...spaced(-1, 1, 2001).map((z) => Math.abs(sigmoid(z) - (0.5 + z / 4)))), biases: net.layers.filter((layer) => layer.b).length,
    company: most(normalise(changed, one, none).out.values.subarray(3).map((v, k) => v - plain.out.values[k + 3])) > 0.01 ? 1 : 0,
  };
  const ends = { with: [], without: [] }, drifts = { with: [], without: [] };
  for (let seed = 0; seed < 3; seed++) {
    for (const kind of ["with", "without"]) {
      const found = yield* deep(kind === "with", 0.1, 20, seed);
      ends[kind].push(found.costs.at(-1));
      drifts[kind].push(Math.max(...found.drift));
    }
  }
  yield { ends: meanOf(ends.with), plainEnds: meanOf(ends.without), drifts: meanOf(drifts.with) < meanOf(drifts.without) ? 1 : 0 };
}

export const page = {
  controls: [
    slider("mean", ["mean of z before", "之前 z 的均值"], -4, 4, 0.1, 2),
    slider("deviation", ["standard deviation before", "之前的标准差"], 0.2, 4, 0.1, 2),
    slider("scale", ["scale γ", "缩放 γ"], 0.1, 4, 0.1, 1),
    slider("shift", ["shift β", "平移 β"], -4, 4, 0.1, 0),
    slider("batch", ["rows of a batch", "批次的行数"], 2, 128, 1, 20),
    slider("rate", ["learning rate", "学习率"], -3, 0, 0.1, -1, { log: true }),
  ],
  presets: [
    { name: ["undo it", "还原"], values: { mean: 2, deviation: 2, scale: 2, shift: 2 } },
    { name: ["small batches", "小批次"], values: { batch: 4 } },
  ],
  view,
  numbers,
};
