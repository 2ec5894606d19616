// The same neuron by two costs.

import { COSTS } from "../engine/costs.js";
import { sigmoid, sigmoidSlope } from "../engine/functions.js";
import { fromRows } from "../engine/matrix.js";
import { backward, createNetwork, forward } from "../engine/network.js";
import { neuronPath, scattered } from "../engine/neuron.js";
import { bandOf, spaced } from "../engine/statistics.js";
import { slider } from "../frame/controls.js";
import { written } from "../frame/dom.js";

const EPOCHS = 300, SEEDS = 24;
const NAMES = { quadratic: ["quadratic", "二次代价"], "cross-entropy": ["cross-entropy", "交叉熵"] };
const COLOURS = { quadratic: "orange", "cross-entropy": "blue" };
const crossEntropy = (y, a) => COSTS["cross-entropy"].value([a], [y]);

function* view({ w, b, quadraticRate, entropyRate, spread, target }) {
  const x = spaced(0, EPOCHS, EPOCHS + 1), rates = { quadratic: quadraticRate, "cross-entropy": entropyRate };
  const walk = (cost, dw = 0, db = 0) => neuronPath({ w: w + dw, b: b + db, eta: rates[cost], cost, epochs: EPOCHS });
  const names = Object.keys(NAMES), paths = Object.fromEntries(names.map((cost) => [cost, walk(cost)]));
  const share = (path) => path.cost.map((value) => value / path.cost[0]);
  const bands = names.map((cost) => ({ kind: "band", x, colour: COLOURS[cost], ...bandOf(scattered(SEEDS, spread, (dw, db) => share(walk(cost, dw, db)))) }));
  const lines = (f) => names.map((cost) => ({ kind: "line", x, y: f(paths[cost]), colour: COLOURS[cost], name: NAMES[cost] }));
  const a = spaced(0.01, 0.99, 99), ends = names.map((cost) => written(paths[cost].a[EPOCHS]));
  yield {
    message: [
      `After ${EPOCHS} epochs the output is ${ends[0]} by the quadratic cost and ${ends[1]} by cross-entropy; the target is 0.`,
      `${EPOCHS} 个 epoch 之后，二次代价的输出为 ${ends[0]}，交叉熵的输出为 ${ends[1]}；目标是 0。`,
    ],
    figures: [
      {
        title: ["Cost, over its first value", "代价与其初值之比"], lost: true,
        x: { label: ["epoch", "epoch"] }, y: { label: ["share of the first cost", "占初始代价的比例"], low: 0, high: 1 },
        layers: [...(spread ? bands : []), ...lines(share)],
      },
      {
        title: ["How fast each learns, by its own measure", "各自的学习速度（以自身最大值为准）"], height: 210,
        x: { label: ["epoch", "epoch"] }, y: { label: ["gradient over its largest", "梯度与最大值之比"], low: 0, high: 1 },
        layers: lines((path) => {
          const most = Math.max(...path.slope);
          return path.slope.map((s) => s / most);
        }),
      },
      {
        title: [`Both costs for the target y = ${written(target)}`, `目标 y = ${written(target)} 时的两种代价`], height: 230,
        x: { label: ["output a", "输出 a"], low: 0, high: 1 }, y: { label: ["cost", "代价"], low: 0, high: 2.5 },
        layers: [
          { kind: "line", x: a, y: a.map((v) => (v - target) ** 2 / 2), colour: "orange", name: NAMES.quadratic },
          { kind: "line", x: a, y: a.map((v) => crossEntropy(target, v)), colour: "blue", name: NAMES["cross-entropy"] },
          { kind: "mark", x: [target], name: ["target", "目标"] },
        ],
      },
    ],
  };
}

/** The demo program's way: dC/da stands where dC/dz belongs. */
function demoEnd(w, b, eta) {
  for (let k = 0; k < EPOCHS; k++) {
    const step = eta / (1 - sigmoid(w + b));
    w -= step;
    b -= step;
  }
  return sigmoid(w + b);
}

function integralGap(y, count = 40000) {
  const a = spaced(0.5, 0.95, count + 1), slope = (v) => (v - y) / (v * (1 - v)), h = 0.45 / count;
  const area = a.slice(1).reduce((sum, v, k) => sum + ((slope(v) + slope(a[k])) / 2) * h, 0);
  return Math.abs(area - (crossEntropy(y, 0.95) - crossEntropy(y, 0.5)));
}

/** Size of the slope by a weight whose input is 0, beside one whose input is 1.5. */
function slopeOfSilent(cost) {
  const net = createNetwork({ sizes: [2, 1] }), X = fromRows([[0, 1.5]]);
  net.parameters.set([0.7, -0.4, 0.3]);
  return Math.abs(backward(net, forward(net, X), fromRows([[1]]), cost).flat[0]);
}

function* numbers() {
  const run = (cost, at, eta) => neuronPath({ w: at[0], b: at[1], eta, cost, epochs: EPOCHS });
  const [near, far] = [[0.6, 0.9], [2, 2]], entropy = "cross-entropy";
  const printed = [run(entropy, near, 0.005), run(entropy, far, 0.005)], same = [run(entropy, near, 0.15), run(entropy, far, 0.15)];
  const quadratic = run("quadratic", far, 0.15), falls = (path) => path.cost.slice(1).map((c, k) => path.cost[k] - c);
  const first = (path) => falls(path).indexOf(Math.max(...falls(path)));
  const grid = spaced(0.001, 0.999, 999), least = Math.min(...grid.map((a) => crossEntropy(0.3, a)));
  const swapped = [0, 1].map((y) => -(0.3 * Math.log(y) + 0.7 * Math.log(1 - y)));
  yield {
    nearSlope: printed[0].slope[0], farSlope: printed[1].slope[0], nearPrinted: printed[0].a[EPOCHS], farPrinted: printed[1].a[EPOCHS],
    nearDemo: demoEnd(0.6, 0.9, 0.005), farDemo: demoEnd(2, 2, 0.005), nearSame: same[0].a[EPOCHS], farSame: same[1].a[EPOCHS],
    fastest: Math.max(first(printed[0]), first(printed[1])),
    accelerates: quadratic.slope[0] / Math.max(...quadratic.slope), slows: same[1].slope[0] / Math.max(...same[1].slope),
    quarter: crossEntropy(0, 0.25), smallest: Math.min(...[0, 1].flatMap((y) => grid.map((a) => crossEntropy(y, a)))),
    swapped: swapped.filter((v) => !Number.isFinite(v)).length, least, where: grid[grid.findIndex((a) => crossEntropy(0.3, a) === least)],
    integral: integralGap(0.3), sure: -Math.log(0.99), unsure: -Math.log(0.01), half: -Math.log(0.5), bits: -Math.log2(0.5),
    silent: Math.max(...Object.keys(COSTS).map(slopeOfSilent)), cancelled: printed[1].slope[0] * sigmoidSlope(4),
  };
}

export const page = {
  controls: [
    slider("w", ["first weight w", "初始权重 w"], -4, 4, 0.1, 2),
    slider("b", ["first bias b", "初始偏置 b"], -4, 4, 0.1, 2),
    slider("quadraticRate", ["learning rate, quadratic", "学习率（二次代价）"], 0.005, 1, 0.005, 0.15),
    slider("entropyRate", ["learning rate, cross-entropy", "学习率（交叉熵）"], 0.005, 1, 0.005, 0.005),
    slider("spread", ["spread of the starts", "起点的散布"], 0, 1, 0.05, 0.1),
    slider("target", ["target of the curves below", "下图中的目标 y"], 0, 1, 0.05, 0.3),
  ],
  presets: [
    { name: "0.6 / 0.9", values: { w: 0.6, b: 0.9 } },
    { name: "2 / 2", values: { w: 2, b: 2 } },
    { name: ["same rate, 0.15", "相同学习率 0.15"], values: { quadraticRate: 0.15, entropyRate: 0.15 } },
  ],
  view,
  numbers,
};
