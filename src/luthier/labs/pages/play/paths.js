// A slope as a sum over paths, and a change that runs through the layers.

import { sigmoidSlope } from "../engine/functions.js";
import { backward, createNetwork, forward, initialise } from "../engine/network.js";
import { stream } from "../engine/random.js";
import { costOf, networkOf, pathsOf, sampleOf } from "../engine/small_networks.js";
import { bandOf, spaced } from "../engine/statistics.js";
import { choice, slider } from "../frame/controls.js";
import { written } from "../frame/dom.js";

const SIZES = [2, 3, 3, 2], X = [0.6, 0.9], Y = [1, 0], SEEDS = 24;
const START = [0.5, -0.8, 1.2, 0.4, -0.6, 0.9, 0.1, -0.3, 0.2, 0.7, -1.1, 0.8, -0.4, 0.9, 0.3, 1.1, 0.2, -0.7, 0.05, -0.1, 0.15, 0.6, -0.9, 1.3, -1.2, 0.8, 0.4, 0.1, -0.2];
const COUNT = SIZES[2] * SIZES[3];

const nodeName = (l, n) => (l ? `a${"²³⁴"[l - 1]}${"₁₂₃"[n]}` : `x${"₁₂"[n]}`);

function drawnNetwork(net, trace, path, j, k) {
  const visited = path ? [k, ...path.visited] : [];
  const edges = net.layers.flatMap(({ W }, l) => Array.from(W.values, (weight, place) => {
    const [to, from] = [Math.floor(place / W.columns), place % W.columns];
    return { from: [l, from], to: [l + 1, to], weight, strong: visited[l] === from && visited[l + 1] === to };
  }));
  const layers = SIZES.map((size, l) => Array.from({ length: size }, (_, n) => ({ name: nodeName(l, n), value: trace.A[l].values[n], colour: visited[l] === n ? "orange" : "soft" })));
  return { layers, edges, height: 300, faded: true };
}

function* view({ j, k, path, change }) {
  const net = networkOf(SIZES, START), trace = forward(net, sampleOf(X)), to = Number(j), from = Number(k), place = 2 * to + from;
  const found = pathsOf(net, trace, Y, 0, to, from), shown = found[Math.min(COUNT, Math.round(path)) - 1], slope = backward(net, trace, sampleOf(Y), "quadratic").flat[place];
  const name = (one) => [from, ...one.visited].map((n, l) => nodeName(l, n)).join(" → ");
  const sums = found.map((_, n) => found.slice(0, n + 1).reduce((sum, one) => sum + one.product, 0)), widths = spaced(-5, 0.5, 45).map((v) => 10 ** v);
  const start = costOf(net, X, Y, "quadratic"), measured = (w, params = START) => costOf(networkOf(SIZES, params.map((p, n) => p + (n === place ? w : 0))), X, Y, "quadratic");
  const ratios = Array.from({ length: SEEDS }, (_, seed) => {
    const other = initialise(createNetwork({ sizes: SIZES }), stream(seed), "large"), rate = backward(other, forward(other, sampleOf(X)), sampleOf(Y), "quadratic").flat[place];
    const begin = costOf(other, X, Y, "quadratic"), params = Array.from(other.parameters);
    return widths.map((w) => (measured(w, params) - begin) / (rate * w));
  });
  yield {
    message: [
      `Path ${Math.round(path)} of ${COUNT}, ${name(shown)}: ${written(shown.product)}. All ${COUNT} add up to ${written(sums.at(-1), 4)}; backpropagation gives ${written(slope, 4)}.`,
      `第 ${Math.round(path)} 条路径（共 ${COUNT} 条），${name(shown)}：${written(shown.product)}。${COUNT} 条之和为 ${written(sums.at(-1), 4)}；反向传播给出 ${written(slope, 4)}。`,
    ],
    figures: [
      { title: ["One path from the weight to an output", "从权重到输出的一条路径"], lost: true, ...drawnNetwork(net, trace, shown, to, from) },
      {
        title: ["What each path adds", "每条路径的贡献"], height: 230, x: { label: ["path", "路径"], names: found.map((_, n) => String(n + 1)) }, y: { label: ["product, and sum so far", "乘积与累计和"], zero: true },
        layers: [
          { kind: "bars", x: found.map((_, n) => n), y: found.map((one) => one.product), colour: "grey", colours: found.map((one) => (one === shown ? "orange" : "grey")), name: ["one path", "单条路径"] },
          { kind: "line", x: found.map((_, n) => n), y: sums, colour: "blue", name: ["sum so far", "累计和"] },
          { kind: "mark", y: [slope], name: ["backpropagation", "反向传播"] },
        ],
      },
      {
        title: ["The change of the cost over the predicted one, by the size of the change", "代价的实际变化与预测之比，随改变量的大小"], height: 230,
        x: { label: ["change of the weight", "权重的改变"], log: true }, y: { label: ["measured over predicted", "实际／预测"], low: 0, high: 2 },
        layers: [
          { kind: "band", x: widths, ...bandOf(ratios), colour: "blue", name: [`middle 80 % of ${SEEDS} networks`, `${SEEDS} 个网络的中间 80 %`] },
          { kind: "line", x: widths, y: widths.map((w) => (measured(w) - start) / (slope * w)), colour: "blue", name: ["this network", "当前网络"] },
          { kind: "mark", x: [change], name: ["chosen change", "所选改变量"] },
        ],
      },
    ],
  };
}

/** delta of the first hidden layer as one product of matrices with diagonal slopes. */
function byMatrices(net, { A, Z }) {
  const diagonal = (l, v) => v.map((value, n) => value * sigmoidSlope(Z[l].values[n]));
  const back = (l, v) => Array.from({ length: net.layers[l].W.columns }, (_, n) => v.reduce((sum, value, row) => sum + value * net.layers[l].W.values[row * net.layers[l].W.columns + n], 0));
  const end = diagonal(2, Y.map((y, n) => A[3].values[n] - y));
  return diagonal(0, back(1, diagonal(1, back(2, end))));
}

function* numbers() {
  const net = networkOf(SIZES, START), trace = forward(net, sampleOf(X)), back = backward(net, trace, sampleOf(Y), "quadratic"), found = pathsOf(net, trace, Y, 0, 1, 0);
  const slope = back.gradient[0].W.values[2], sum = found.reduce((all, one) => all + one.product, 0), dw = 1e-5;
  const moved = networkOf(SIZES, START.map((p, n) => p + (n === 2 ? dw : 0))), after = forward(moved, sampleOf(X)), rise = X[0] * dw;
  const first = sigmoidSlope(trace.Z[0].values[1]) * rise, second = sigmoidSlope(trace.Z[1].values[0]) * net.layers[1].W.values[1] * first;
  yield {
    count: found.length, sum, gap: Math.abs(sum - slope), largest: Math.max(...found.map((one) => Math.abs(one.product))),
    layer1: (after.A[1].values[1] - trace.A[1].values[1]) / first, layer2: (after.A[2].values[0] - trace.A[2].values[0]) / second,
    ratio: (costOf(moved, X, Y, "quadratic") - costOf(net, X, Y, "quadratic")) / (slope * dw),
    matrices: Math.max(...byMatrices(net, trace).map((d, n) => Math.abs(d - back.deltas[0].values[n]))),
  };
}

export const page = {
  controls: [
    slider("path", ["path", "路径"], 1, COUNT, 1, 1),
    choice("j", ["the weight leads to hidden neuron", "权重指向的隐藏神经元"], [["0", "1"], ["1", "2"], ["2", "3"]], "1"),
    choice("k", ["and comes from input", "来自输入"], [["0", "x₁"], ["1", "x₂"]], "0"),
    slider("change", ["change of the weight", "权重的改变"], -5, 0.5, 0.1, -1, { log: true }),
  ],
  presets: [],
  play: "path",
  view,
  numbers,
};
