// What ten layers make of first weights of different size.

import { ACTIVATIONS } from "../engine/functions.js";
import { mapped, matrix, times, timesTransposed } from "../engine/matrix.js";
import { stream } from "../engine/random.js";
import { SCHEMES } from "../engine/network.js";
import { bandOf, spaced } from "../engine/statistics.js";
import { choice, slider } from "../frame/controls.js";
import { written } from "../frame/dom.js";

const LAYERS = 10, SEEDS = 4, NAMES = { small: "0.01", large: "1", xavier: "Xavier", he: "He" };
const COLOURS = { small: "grey", large: "orange", xavier: "green", he: "blue" };
const drawnSets = new Map();

/** Ten matrices of numbers from N(0, 1) and some rows, kept: a scheme only multiplies them. */
function* normals(units, rows, seed) {
  const name = `${units} ${rows} ${seed}`;
  if (!drawnSets.has(name)) {
    const random = stream(seed, 11), draw = (r, c) => mapped(matrix(r, c), () => random.normal()), set = { X: draw(rows, units), W: [] };
    for (let k = 0; k < LAYERS; k++) {
      set.W.push(draw(units, units));
      yield null;
    }
    if (drawnSets.size > 5) drawnSets.clear();
    drawnSets.set(name, set);
  }
  return drawnSets.get(name);
}

const spreadOf = (values) => {
  const mean = values.reduce((s, v) => s + v, 0) / values.length;
  return Math.sqrt(values.reduce((s, v) => s + (v - mean) ** 2, 0) / values.length);
};

/** Activations of every layer, and weighted inputs. */
function* through({ X, W }, activation, deviation) {
  const A = [X], Z = [];
  for (const w of W) {
    Z.push(mapped(timesTransposed(A.at(-1), w), (v) => deviation * v));
    A.push(mapped(Z.at(-1), ACTIVATIONS[activation].value));
    yield null;
  }
  return { A, Z };
}

/** Sizes of the slopes by each layer's weights for a random slope by the outputs: first layer first. */
function* slopesBack({ W }, { A, Z }, activation, deviation, random) {
  const sizes = [], prime = ACTIVATIONS[activation].slope;
  let D = mapped(A.at(-1), () => random.normal());
  for (let k = LAYERS - 1; k >= 0; k--) {
    D = mapped(D, (d, place) => d * prime(Z[k].values[place]));
    sizes.unshift(Math.sqrt(D.values.reduce((s, v) => s + v * v, 0) * A[k].values.reduce((s, v) => s + v * v, 0)) / A[k].values.length);
    D = mapped(times(D, W[k]), (d) => deviation * d);
    yield null;
  }
  return sizes;
}

function* measured(units, rows, seed, activation, deviation) {
  const set = yield* normals(units, rows, seed), pass = yield* through(set, activation, deviation);
  return { set, pass, spread: pass.A.slice(1).map((a) => spreadOf(a.values)) };
}

function histogram(values) {
  const edge = Math.max(1e-12, values.reduce((m, v) => Math.max(m, Math.abs(v)), 0)), bins = 41, counts = new Array(bins).fill(0);
  values.forEach((v) => counts[Math.min(bins - 1, Math.floor(((v / edge + 1) / 2) * bins))]++);
  return { x: spaced(-edge, edge, bins), y: counts.map((c) => c / values.length) };
}

function* view({ activation, scheme, own, units }) {
  const rows = 16, layers = spaced(1, LAYERS, LAYERS), deviation = (name) => (name === "own" ? own : SCHEMES[name](units));
  const first = yield* measured(units, rows, 0, activation, deviation(scheme)), lines = {};
  const back = yield* slopesBack(first.set, first.pass, activation, deviation(scheme), stream(1, 3));
  const shown = (name) => (name === "own" ? ["your deviation", "自选标准差"] : name === scheme ? [`${NAMES[name]} (chosen)`, `${NAMES[name]}（当前）`] : NAMES[name]);
  const ends = [first.spread[0], first.spread.at(-1)].map((v) => written(v)), ratio = written(back[0] / back.at(-1), 2);
  const picture = () => ({
    message: [`Standard deviation ${written(deviation(scheme))}: activations spread by ${ends[0]} after layer 1 and ${ends[1]} after layer 10; gradients of the first layer are ${ratio} times those of the last.`, `权重标准差 ${written(deviation(scheme))}：第 1 层后激活值的标准差为 ${ends[0]}，第 10 层后为 ${ends[1]}；第一层的梯度是最后一层的 ${ratio} 倍。`],
    figures: [
      {
        title: ["Standard deviation of activations by layer", "各层激活值的标准差"], x: { label: ["layer", "层"], ticks: layers }, y: { label: ["standard deviation", "标准差"], log: true, low: 1e-9, high: 1e3 },
        layers: Object.entries(lines).flatMap(([name, curves]) => {
          const band = bandOf(curves), colour = name === "own" ? "purple" : COLOURS[name];
          return [{ kind: "band", x: layers, ...band, colour }, { kind: "line", x: layers, y: band.middle, colour, name: shown(name), width: name === scheme ? 3 : 1.8 }];
        }),
      },
      ...[1, 5, 10].map((layer) => {
        const { x, y } = histogram(first.pass.A[layer].values);
        return { title: [`Activations after layer ${layer}`, `第 ${layer} 层后的激活值`], lost: true, height: 150, x: { label: ["activation", "激活值"] }, y: { label: ["share", "占比"], low: 0 }, layers: [{ kind: "bars", x, y, colour: "blue", width: 0.95 }] };
      }),
      {
        title: ["Gradients of each layer's weights, over the last layer's", "各层权重的梯度与最后一层之比"], height: 210, x: { label: ["layer", "层"], ticks: layers }, y: { label: ["ratio", "比值"], log: true },
        layers: [{ kind: "line", x: layers, y: back.map((v) => v / back.at(-1)), colour: "orange" }, { kind: "points", x: layers, y: back.map((v) => v / back.at(-1)), colour: "orange" }, { kind: "mark", y: [1] }],
      },
    ],
  });
  const all = [...new Set([scheme, ...Object.keys(NAMES)])];
  lines[scheme] = [first.spread];
  yield picture();
  for (let seed = 0; seed < SEEDS; seed++) {
    for (const name of all) {
      if (seed === 0 && name === scheme) continue;
      lines[name] = [...(lines[name] ?? []), (yield* measured(units, rows, seed, activation, deviation(name))).spread];
    }
    yield picture();
  }
}

function* numbers() {
  const spread = function* (activation, deviation) {
    return (yield* measured(500, 16, 0, activation, deviation)).spread;
  };
  const small = yield* spread("tanh", 0.01), thin = yield* spread("relu", 0.01);
  yield { tanh1: small[0], tanh2: small[1], tanh3: small[2], tanh10: small[9], relu1: thin[0], relu10: thin[9] };
  const { pass } = yield* measured(500, 16, 0, "tanh", 1), grown = yield* spread("relu", 1);
  const flat = pass.A[10].values.filter((v) => Math.abs(v) > 0.99).length / pass.A[10].values.length;
  yield { large10: spreadOf(pass.A[10].values), flat, grown1: grown[0], grown10: Math.log10(grown[9]) };
  const xavier = SCHEMES.xavier(500), he = SCHEMES.he(500), even = yield* spread("tanh", xavier), faded = yield* spread("relu", xavier), kept = yield* spread("relu", he);
  yield { xavier1: even[0], xavier10: even[9], faded1: faded[0], faded10: faded[9], he1: kept[0], he10: kept[9], he500: he, he784: SCHEMES.he(784) };
  const one = yield* measured(100, 40, 2, "sigmoid", SCHEMES.xavier(100)), sigmoid = yield* slopesBack(one.set, one.pass, "sigmoid", 0.1, stream(2));
  const two = yield* measured(100, 40, 2, "relu", SCHEMES.he(100)), relu = yield* slopesBack(two.set, two.pass, "relu", SCHEMES.he(100), stream(2));
  let size = 1;
  for (let layer = 0; layer < 300; layer++) size *= Math.sqrt(500 / 2);
  yield { vanished: sigmoid[0] / sigmoid.at(-1) < 1e-3 ? 1 : 0, steady: relu[0] / relu.at(-1), overflow: Number.isFinite(size) ? 0 : 1 };
}

export const page = {
  controls: [
    slider("own", ["your standard deviation", "自选标准差"], -3, 0.5, 0.05, -1, { log: true }),
    choice("scheme", ["standard deviation of the weights", "权重的标准差"], [...Object.entries(NAMES), ["own", ["yours", "自选"]]], "small"),
    choice("activation", ["activation", "激活函数"], [["tanh", "tanh"], ["relu", "ReLU"], ["sigmoid", "sigmoid"]], "tanh"),
    slider("units", ["units of a layer", "每层单元数"], 50, 500, 50, 200),
  ],
  presets: [
    { name: "tanh, 0.01", values: { activation: "tanh", scheme: "small" } },
    { name: "tanh, 1", values: { activation: "tanh", scheme: "large" } },
    { name: "tanh, Xavier", values: { activation: "tanh", scheme: "xavier" } },
    { name: "ReLU, He", values: { activation: "relu", scheme: "he" } },
  ],
  view,
  numbers,
};
