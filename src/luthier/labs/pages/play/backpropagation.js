// Every number of a 2-3-1 network, forwards and backwards, and a demon that changes one of them.

import { sigmoidSlope } from "../engine/functions.js";
import { backward, forward } from "../engine/network.js";
import { costOf, difference, gradientGap, networkOf, sampleOf } from "../engine/small_networks.js";
import { spaced } from "../engine/statistics.js";
import { choice, slider } from "../frame/controls.js";
import { written } from "../frame/dom.js";

const SIZES = [2, 3, 1], COST = "quadratic";
const START = [0.5, -0.8, 1.2, 0.4, -0.6, 0.9, 0.1, -0.3, 0.2, 0.7, -1.1, 0.8, 0.05];
const X = [0.6, 0.9], Y = [1];
const WEIGHTS = ["w₁₁", "w₁₂", "w₂₁", "w₂₂", "w₃₁", "w₃₂"];
const STEPS = [
  ["1 Input: the activations of the first layer are the inputs.", "1 输入：第一层的激活值就是输入。"],
  ["2 Feed forward: z = w a + b and a = σ(z), layer by layer.", "2 前向传播：逐层计算 z = w a + b 与 a = σ(z)。"],
  ["3 Output error: δ = (a − y) σ′(z).", "3 输出误差：δ = (a − y) σ′(z)。"],
  ["4 Backpropagate: the errors of the hidden layer from that of the output.", "4 反向传播：由输出层的误差得到隐藏层的误差。"],
  ["5 Output: gradients of biases are the errors, those of weights activation times error.", "5 输出：对偏置的梯度就是误差，对权重的梯度是激活值乘误差。"],
];

function passes(parameters, x, y) {
  const net = networkOf(SIZES, parameters), trace = forward(net, sampleOf(x));
  return { net, trace, back: backward(net, trace, sampleOf(y), COST), cost: costOf(net, x, y, COST) };
}

function network({ net, trace, back }, step, chosen) {
  const neuron = (l, k) => {
    const value = trace.A[l].values[k], seen = l === 0 || step >= 2, delta = l && back.deltas[l - 1].values[k];
    const under = l && step >= (l === 2 ? 3 : 4) ? `δ ${written(delta, 2)}` : undefined;
    return { name: l ? `a${"²³"[l - 1]}${"₁₂₃"[k]}` : `x${"₁₂"[k]}`, value: seen ? value : "", under, colour: under ? "orange" : seen ? "blue" : "soft" };
  };
  const edges = net.layers.flatMap(({ W }, l) => Array.from(W.values, (weight, place) => {
    const [j, k] = [Math.floor(place / W.columns), place % W.columns], slope = back.gradient[l].W.values[place];
    return { from: [l, k], to: [l + 1, j], weight, text: written(step >= 5 ? slope : weight, 2), strong: l === 0 && place === chosen, along: l ? 0.5 : 0.3 + 0.2 * k };
  }));
  return { layers: SIZES.map((size, l) => Array.from({ length: size }, (_, k) => neuron(l, k))), edges, height: 330 };
}

/** A row for each neuron, as far as the algorithm has come. */
function everyNumber({ net, trace, back }, step) {
  const several = (list) => Array.from(list, (v) => written(v, 2)).join(", ");
  const rows = net.layers.flatMap(({ W, b }, l) => Array.from(b, (bias, j) => {
    const own = (M) => M.values.subarray(j * W.columns, (j + 1) * W.columns), from = (needed, value) => (step >= needed ? written(value) : "");
    const z = trace.Z[l].values[j], error = l ? 3 : 4;
    return [
      `${l + 2}, ${j + 1}`, several(own(W)), bias, from(2, z), from(2, trace.A[l + 1].values[j]), from(error, sigmoidSlope(z)),
      from(error, back.deltas[l].values[j]), from(5, several(own(back.gradient[l].W))),
    ];
  }));
  return { head: [["layer, neuron", "层，神经元"], ["weights", "权重"], ["bias", "偏置"], "z", "a", "σ′(z)", "δ = ∂C/∂b", "∂C/∂w"], rows };
}

function* view({ step, which, change, x1, x2, y }) {
  const chosen = Number(which), x = [x1, x2], base = passes(START, x, [y]), changed = [...START];
  changed[chosen] += change;
  const now = passes(changed, x, [y]), slope = base.back.flat[chosen], range = spaced(-2, 2, 81);
  const costs = range.map((d) => costOf(networkOf(SIZES, START.map((p, k) => p + (k === chosen ? d : 0))), x, [y], COST));
  yield {
    message: STEPS[Math.round(step) - 1],
    figures: [
      { title: step >= 5 ? ["The network; on the lines the gradients of the weights", "网络；线上的数字是对权重的梯度"] : ["The network; on the lines the weights", "网络；线上的数字是权重"], lost: true, ...network(now, step, chosen) },
      {
        title: [`The demon changes ${WEIGHTS[chosen]}: the cost, and what the gradient predicts`, `小妖改变 ${WEIGHTS[chosen]}：代价，以及梯度的预测`], height: 240,
        x: { label: ["change of the weight", "权重的改变"] }, y: { label: ["cost", "代价"] },
        layers: [
          { kind: "line", x: range, y: costs, colour: "blue", name: ["cost", "代价"] },
          { kind: "line", x: range, y: range.map((d) => base.cost + slope * d), colour: "orange", dash: true, free: true, name: ["predicted by the gradient", "按梯度预测"] },
          { kind: "points", x: [change], y: [now.cost], colour: "blue", size: 5 },
        ],
      },
    ],
    table: everyNumber(now, step),
  };
}

function errorPower(central) {
  const { net, back } = passes(START, X, Y), now = () => costOf(net, X, Y, COST);
  const gap = (h) => Math.abs(difference(net, 0, now, h, central) - back.flat[0]);
  return Math.log(gap(0.01) / gap(0.001)) / Math.log(10);
}

function* numbers() {
  const { net, trace, back, cost } = passes(START, X, Y), [W1, W2] = back.gradient.map((layer) => layer.W.values);
  const moved = [...START];
  moved[6] += 1e-4; // a bias moves a weighted input alone
  const component = START[0] * X[0] + START[1] * X[1] + START[6], lower = START.map((p, k) => p - 0.5 * back.flat[k]);
  const halved = passes(START, [0.3, 0.9], Y).back, other = [...START];
  other[1] += 0.5;
  const shifted = passes(other, X, Y).trace.Z[0].values;
  const count = (sizes) => sizes.slice(1).reduce((sum, size, k) => sum + size * (sizes[k] + 1), 0);
  yield {
    output: trace.A[2].values[0], hidden1: trace.A[1].values[0], hidden2: trace.A[1].values[1], hidden3: trace.A[1].values[2], cost,
    component: Math.abs(component - trace.Z[0].values[0]), moves: shifted[0] - trace.Z[0].values[0], others: Math.abs(shifted[1] - trace.Z[0].values[1]),
    byOutput: trace.A[2].values[0] - 1, delta: back.deltas[1].values[0], delta1: back.deltas[0].values[0], delta2: back.deltas[0].values[1], delta3: back.deltas[0].values[2],
    byBias: back.gradient[1].b[0], byWeight1: W1[0], byWeight2: W1[1], byLast: W2[0], gap: gradientGap(net, X, Y, COST),
    demon: (passes(moved, X, Y).cost - cost) / 1e-4 / back.deltas[0].values[0], lowered: passes(lower, X, Y).cost - cost,
    quiet: (halved.gradient[0].W.values[0] / halved.deltas[0].values[0]) / (W1[0] / back.deltas[0].values[0]), square: [2, 3].map((v) => v ** 2).reduce((s, v) => s + v), hadamard: [1, 2].map((v, k) => v * [3, 4][k]).reduce((s, v) => s + v),
    forwardPower: errorPower(false), centralPower: errorPower(true), parameters: count([784, 30, 10]), hundred: count([784, 100, 10]), passes: 1 + count([784, 30, 10]),
  };
}

export const page = {
  controls: [
    slider("step", ["step of the algorithm", "算法的步骤"], 1, 5, 1, 5),
    choice("which", ["weight that the demon changes", "小妖改变的权重"], WEIGHTS.map((name, k) => [String(k), name]), "0"),
    slider("change", ["its change", "改变量"], -2, 2, 0.05, 0),
    slider("x1", ["input x₁", "输入 x₁"], 0, 1, 0.05, X[0]),
    slider("x2", ["input x₂", "输入 x₂"], 0, 1, 0.05, X[1]),
    slider("y", ["target y", "目标 y"], 0, 1, 0.05, Y[0]),
  ],
  presets: [{ name: ["a silent input, x₁ = 0", "沉默的输入，x₁ = 0"], values: { x1: 0, step: 5 } }],
  play: "step",
  view,
  numbers,
};
