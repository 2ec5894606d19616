// Where activations are flat, and what learns from there.

import { ACTIVATIONS, sigmoid, sigmoidSlope } from "../engine/functions.js";
import { fromRows } from "../engine/matrix.js";
import { backward, createNetwork, forward, initialise } from "../engine/network.js";
import { gradientGap, networkOf, sampleOf } from "../engine/small_networks.js";
import { stream } from "../engine/random.js";
import { bandOf, spaced } from "../engine/statistics.js";
import { training } from "../engine/training.js";
import { choice, slider } from "../frame/controls.js";
import { written } from "../frame/dom.js";

const SEEDS = 12, EPOCHS = 200, SHOWN = { sigmoid: "grey", tanh: "orange", relu: "purple", lively: "blue" };
const NAMES = { sigmoid: "sigmoid", tanh: "tanh", relu: "ReLU", lively: ["σ(z) + 0.1 z", "σ(z) + 0.1 z"] };
const X = fromRows([[0, 0], [0, 1], [1, 0], [1, 1]].map((row) => row.map((v) => v - 0.5))), Y = fromRows([[0], [1], [1], [0]]);

/** Costs of a network whose hidden biases start far out. */
function curve(activation, bias, rate, seed) {
  const net = initialise(createNetwork({ sizes: [2, 6, 1], activation, output: "sigmoid" }), stream(seed));
  net.layers[0].b.fill(bias);
  const walk = training(net, X, Y, { cost: "cross-entropy", rate, momentum: 0.9 });
  return Array.from({ length: EPOCHS }, () => walk.epoch());
}

function* view({ activation, z, bias, rate }) {
  const { value, slope } = ACTIVATIONS[activation], x = spaced(-8, 8, 161), epochs = spaced(1, EPOCHS, EPOCHS), bands = [];
  const first = {
    title: ["The activation and its derivative", "激活函数及其导数"], lost: true, height: 240, x: { label: "z" }, y: { label: ["value", "值"], low: -1.1, high: 1.5 },
    layers: [
      { kind: "line", x, y: x.map(value), colour: SHOWN[activation], name: NAMES[activation] },
      { kind: "line", x, y: x.map(slope), colour: "green", dash: true, name: ["derivative", "导数"] },
      { kind: "points", x: [z], y: [slope(z)], colour: "green", size: 5 }, { kind: "mark", x: [z], name: ["this neuron", "当前神经元"] },
    ],
  };
  const message = [
    `At z = ${written(z)} the derivative is ${written(slope(z))}: an error that comes back through this neuron is multiplied by it.`,
    `z = ${written(z)} 处的导数为 ${written(slope(z))}：经过该神经元返回的误差要乘以它。`,
  ];
  for (const name of Object.keys(SHOWN)) {
    const band = bandOf(Array.from({ length: SEEDS }, (_, seed) => curve(name, bias, rate, seed)));
    bands.push({ kind: "band", x: epochs, ...band, colour: SHOWN[name] }, { kind: "line", x: epochs, y: band.middle, colour: SHOWN[name], name: NAMES[name], width: name === activation ? 3 : 1.6 });
    const second = { title: [`XOR, hidden biases started at ${written(bias)}: median and middle 80 % of ${SEEDS} seeds`, `异或问题，隐藏偏置从 ${written(bias)} 开始：${SEEDS} 个种子的中位数与中间 80 %`], x: { label: ["epoch", "epoch"] }, y: { label: ["cost", "代价"], low: 0, high: 1.2 }, layers: [...bands] };
    yield { message, figures: [first, second] };
  }
}

const START = [0.5, -0.8, 1.2, 0.4, -0.6, 0.9, 0.1, -0.3, 0.2, 0.7, -1.1, 0.8, 0.05];

function* numbers() {
  const grid = spaced(-8, 8, 161), line = Math.max(...spaced(-1, 1, 2001).map((z) => Math.abs(sigmoid(z) - (0.5 + z / 4))));
  const delta = (parameters) => backward(networkOf([2, 3, 1], parameters), forward(networkOf([2, 3, 1], parameters), sampleOf([0.6, 0.9])), sampleOf([1]), "quadratic").deltas[0].values[0];
  const saturated = START.map((p, k) => (k === 6 ? 12 : p)), heavy = saturated.map((p, k) => (k === 9 ? 1e6 : k === 12 ? -1e6 * sigmoid(12 + 0.5 * 0.6 - 0.8 * 0.9) : p));
  const gap = (activation) => gradientGap(networkOf([2, 3, 1], START, { activation }), [0.6, 0.9], [1], "quadratic");
  yield {
    largest: Math.max(...grid.map(sigmoidSlope)), ratio: sigmoidSlope(6) / 0.25, low: sigmoid(-1000), high: sigmoid(1000),
    difference: Math.max(...grid.map((z) => Math.abs((sigmoid(z + 1e-6) - sigmoid(z - 1e-6)) / 2e-6 - sigmoidSlope(z)))), line,
    flat: delta(saturated) / delta(START), heavy: Math.abs(delta(heavy) / delta(saturated)) > 100 ? 1 : 0, lively: Math.min(...grid.map(ACTIVATIONS.lively.slope)),
    gaps: Math.max(...Object.keys(ACTIVATIONS).map(gap)), linear: ACTIVATIONS.linear.slope(7),
  };
}

export const page = {
  controls: [
    slider("z", ["weighted input z", "带权输入 z"], -8, 8, 0.1, 4),
    choice("activation", ["activation", "激活函数"], Object.entries(NAMES), "sigmoid"),
    slider("bias", ["hidden biases at the start", "隐藏偏置的初值"], -8, 8, 0.5, 5),
    slider("rate", ["learning rate", "学习率"], -2, 0.5, 0.1, 0, { log: true }),
  ],
  presets: [{ name: ["not saturated", "未饱和"], values: { bias: 0, z: 0 } }, { name: ["saturated", "饱和"], values: { bias: 6, z: 6 } }],
  view,
  numbers,
};
