// One sigmoid neuron whose input is 1 and whose target is 0.

import { sigmoid, sigmoidSlope } from "../engine/functions.js";
import { neuronPath, scattered } from "../engine/neuron.js";
import { bandOf, spaced } from "../engine/statistics.js";
import { written } from "../frame/dom.js";
import { slider } from "../frame/controls.js";

const EPOCHS = 300, SEEDS = 24;

function* view({ w, b, eta, spread, epoch }) {
  const path = neuronPath({ w, b, eta, cost: "quadratic", epochs: EPOCHS });
  const many = scattered(SEEDS, spread, (dw, db) => neuronPath({ w: w + dw, b: b + db, eta, cost: "quadratic", epochs: EPOCHS }));
  const x = spaced(0, EPOCHS, EPOCHS + 1), k = Math.round(epoch);
  const band = (name) => ({ kind: "band", x, ...bandOf(many.map((one) => one[name])) });
  const z = spaced(-6, 6, 121), now = path.w[k] + path.b[k];
  yield {
    message: [
      `Epoch ${k}: w = ${written(path.w[k])}, b = ${written(path.b[k])}, output ${written(path.a[k])}, cost ${written(path.cost[k])}, gradient of the cost ${written(path.slope[k])}.`,
      `第 ${k} 个 epoch：w = ${written(path.w[k])}，b = ${written(path.b[k])}，输出 ${written(path.a[k])}，代价 ${written(path.cost[k])}，代价的梯度 ${written(path.slope[k])}。`,
    ],
    figures: [
      {
        title: ["The cost, epoch by epoch", "代价随 epoch 的变化"], lost: true,
        x: { label: ["epoch", "epoch"] }, y: { label: ["cost", "代价"], low: 0 },
        layers: [
          ...(spread ? [{ ...band("cost"), colour: "blue", name: [`middle 80 % of ${SEEDS} starts`, `${SEEDS} 个起点的中间 80 %`] }] : []),
          { kind: "line", x, y: path.cost, colour: "blue", name: ["this start", "当前起点"] },
          { kind: "points", x: [k], y: [path.cost[k]], colour: "orange", size: 5 },
        ],
      },
      {
        title: ["Where the neuron stands on the sigmoid", "神经元在 S 形曲线上的位置"], height: 220,
        x: { label: "z = w + b" }, y: { label: "σ(z)", low: 0, high: 1 },
        layers: [
          { kind: "line", x: z, y: z.map(sigmoid), colour: "grey", name: ["output", "输出"] },
          { kind: "line", x: z, y: z.map((v) => 4 * sigmoidSlope(v)), colour: "green", dash: true, name: ["derivative, times 4", "导数 × 4"] },
          { kind: "points", x: [now], y: [sigmoid(now)], colour: "orange", size: 6, name: [`epoch ${k}`, `第 ${k} 个 epoch`] },
        ],
      },
    ],
  };
}

function* numbers() {
  const run = (w, b) => neuronPath({ w, b, eta: 0.15, cost: "quadratic", epochs: EPOCHS });
  const quick = run(0.6, 0.9), slow = run(2, 2), steps = slow.a.slice(1).map((a, k) => slow.a[k] - a);
  yield {
    quickStart: quick.a[0], quickEnd: quick.a[300], quickWeight: quick.w[300], quickBias: quick.b[300],
    slowStart: slow.a[0], slow50: slow.a[50], slow100: slow.a[100], slow150: slow.a[150], slow200: slow.a[200], slow300: slow.a[300],
    steepest: slow.slope.indexOf(Math.max(...slow.slope)), fastest: steps.indexOf(Math.max(...steps)),
    quickSlope: quick.slope[0], slowSlope: slow.slope[0], quickPrime: sigmoidSlope(1.5), slowPrime: sigmoidSlope(4),
  };
}

export const page = {
  controls: [
    slider("w", ["first weight w", "初始权重 w"], -4, 4, 0.1, 2),
    slider("b", ["first bias b", "初始偏置 b"], -4, 4, 0.1, 2),
    slider("eta", ["learning rate η", "学习率 η"], 0.01, 1, 0.01, 0.15),
    slider("spread", ["spread of the starts", "起点的散布"], 0, 1, 0.05, 0.1),
    slider("epoch", ["epoch", "epoch"], 0, EPOCHS, 1, 150),
  ],
  presets: [
    { name: "0.6 / 0.9", values: { w: 0.6, b: 0.9, eta: 0.15 } },
    { name: "2 / 2", values: { w: 2, b: 2, eta: 0.15 } },
  ],
  play: "epoch",
  view,
  numbers,
};
