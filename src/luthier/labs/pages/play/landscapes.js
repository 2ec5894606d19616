// Update rules on a ravine, a saddle and beside a local minimum.

import { stream } from "../engine/random.js";
import { descent, pathOf } from "../engine/rules.js";
import { quantileOf, spaced } from "../engine/statistics.js";
import { choice, slider } from "../frame/controls.js";
import { written } from "../frame/dom.js";

const SEEDS = 16, EPSILON = 1e-7;
const COLOURS = { sgd: "grey", momentum: "blue", nesterov: "purple", adagrad: "green", rmsprop: "gold", adam: "orange" };
const RULE_OF = { sgd: ["sgd", 0], momentum: ["sgd"], nesterov: ["nesterov-velocity"], adagrad: ["adagrad"], rmsprop: ["rmsprop"], adam: ["adam"] };
const LANDS = {
  ravine: {
    name: ["ravine", "狭谷"], height: ([x, y]) => 0.5 * (x * x + 50 * y * y), slope: ([x, y]) => [x, 50 * y], start: [-7, 2], x: [-8, 8], y: [-3, 3],
    rates: { sgd: 0.035, momentum: 0.01, nesterov: 0.01, adagrad: 0.8, rmsprop: 0.1, adam: 0.3 },
  },
  saddle: {
    name: ["saddle", "鞍点"], height: ([x, y]) => x * x - y * y, slope: ([x, y]) => [2 * x, -2 * y], start: [1, 1e-3], x: [-1.3, 1.3], y: [-1.3, 1.3],
    rates: { sgd: 0.05, momentum: 0.02, nesterov: 0.02, adagrad: 0.1, rmsprop: 0.02, adam: 0.05 },
  },
  minimum: {
    name: ["local minimum", "局部极小"], height: ([x, y]) => x ** 4 / 4 - x * x / 2 + 0.12 * x + y * y / 2, slope: ([x, y]) => [x ** 3 - x + 0.12, y], start: [1.75, 1.2], x: [-2, 2], y: [-1.5, 1.5],
    rates: { sgd: 0.05, momentum: 0.05, nesterov: 0.05, adagrad: 0.2, rmsprop: 0.05, adam: 0.1 },
  },
};

/** A rule's path; noise of N(0, noise) in every slope where a seed is given. */
function walked(name, land, steps, { rate, momentum, decay, noise = 0, seed = 0 }) {
  const [rule, own] = RULE_OF[name], random = stream(seed, 31), noisy = (p) => land.slope(p).map((g) => g + noise * random.normal());
  return pathOf(rule, noise ? noisy : land.slope, land.start, steps, { rate, momentum: own ?? momentum, rho: decay, epsilon: EPSILON });
}

function* view({ land: chosen, steps, factor, momentum, decay, noise }) {
  const land = LANDS[chosen], count = Math.round(steps), names = Object.keys(COLOURS), x = spaced(land.x[0], land.x[1], 61), y = spaced(land.y[0], land.y[1], 41);
  const of = (name, seed) => walked(name, land, count, { rate: factor * land.rates[name], momentum, decay, noise, seed });
  const paths = Object.fromEntries(names.map((name) => [name, of(name, 0)])), inside = ([a, b]) => Math.abs(a) < 1e3 && Math.abs(b) < 1e3;
  const floor = chosen === "ravine" ? 0 : Math.min(...x.flatMap((a) => y.map((b) => land.height([a, b])))), tiny = chosen === "ravine" ? 1e-8 : 1e-3;
  const lifted = (p) => Math.max(tiny, land.height(p) - floor), many = noise ? Array.from({ length: SEEDS }, (_, seed) => of("sgd", seed)) : [];
  const best = names.reduce((a, b) => (land.height(paths[b].at(-1)) < land.height(paths[a].at(-1)) ? b : a)), stepsX = spaced(0, count, count + 1);
  yield {
    message: [`After ${count} steps ${best} is lowest, at ${written(land.height(paths[best].at(-1)))}; sgd is at ${written(land.height(paths.sgd.at(-1)))}.`, `${count} 步之后 ${best} 最低，高度为 ${written(land.height(paths[best].at(-1)))}；sgd 在 ${written(land.height(paths.sgd.at(-1)))}。`],
    figures: [
      {
        title: ["Paths of six rules; deeper colour is lower", "六种规则的路径；颜色越浓越低"], lost: true, height: 360, x: { label: "x", low: land.x[0], high: land.x[1] }, y: { label: "y", low: land.y[0], high: land.y[1] },
        layers: [
          { kind: "field", x, y, z: y.map((b) => x.map((a) => land.height([a, b]))), colour: "blue" },
          ...names.map((name) => ({ kind: "line", x: paths[name].filter(inside).map((p) => p[0]), y: paths[name].filter(inside).map((p) => p[1]), colour: COLOURS[name], name: `${name}, ${written(factor * land.rates[name], 2)}` })),
          ...names.map((name) => ({ kind: "points", x: [paths[name].at(-1)[0]], y: [paths[name].at(-1)[1]], colour: COLOURS[name], size: 4.5 })),
          { kind: "points", x: [land.start[0]], y: [land.start[1]], colour: "text", size: 4, hollow: true },
        ],
      },
      {
        title: ["Height above the lowest shown, step by step", "每一步离图中最低处的高度"], x: { label: ["step", "步"] }, y: { label: ["height", "高度"], log: true, low: tiny, high: Math.max(...names.map((name) => lifted(land.start))) * 3 },
        layers: [
          ...(many.length ? [{ kind: "band", x: stepsX, low: stepsX.map((k) => quantileOf(many.map((p) => lifted(p[k])), 0.1)), high: stepsX.map((k) => quantileOf(many.map((p) => lifted(p[k])), 0.9)), colour: "grey", name: [`sgd, middle 80 % of ${SEEDS} seeds`, `sgd，${SEEDS} 个种子的中间 80 %`] }] : []),
          ...names.map((name) => ({ kind: "line", x: stepsX, y: paths[name].map(lifted), colour: COLOURS[name], name })),
        ],
      },
    ],
  };
}

/** Steps until |y| > 1 on the saddle, from just beside its ridge. */
function escape(name, more = {}) {
  const path = walked(name, { ...LANDS.saddle, start: [1, 1e-5] }, 700, { rate: 0.01, momentum: 0.9, decay: 0.9, ...more });
  return path.findIndex((p) => Math.abs(p[1]) > 1);
}

/** Moves of a rule at a rate of 1 under a slope that stays 1. */
function moves(rule, steps, options) {
  const P = new Float64Array(1), walk = descent(rule, P, { epsilon: 0, ...options }), G = Float64Array.of(1), result = [];
  for (let k = 0; k < steps; k++) {
    const before = P[0];
    walk.step(G, 1);
    result.push(before - P[0]);
  }
  return result;
}

function printedSign() {
  let [p, v] = [[-7, 2], [0, 0]];
  for (let k = 0; k < 100; k++) {
    v = LANDS.ravine.slope(p).map((g, n) => 0.9 * v[n] + g);
    p = p.map((c, n) => c + 0.01 * v[n]);
  }
  return Math.log10(LANDS.ravine.height(p));
}

/** Nesterov's look ahead beside the printed form: the largest gap over 50 steps. */
function lookAheadGap() {
  const slope = LANDS.ravine.slope, rho = 0.9, rate = 0.02, P = Float64Array.of(-2, 1), walk = descent("nesterov-velocity", P, { momentum: rho });
  let [p, v, worst] = [[-2, 1], [0, 0], 0];
  for (let k = 0; k < 50; k++) {
    const g = slope(p.map((c, n) => c + rho * v[n]));
    v = v.map((c, n) => rho * c - rate * g[n]);
    p = p.map((c, n) => c + v[n]);
    walk.step(slope(P), rate);
    worst = Math.max(worst, ...p.map((c, n) => Math.abs(c + rho * v[n] - P[n])));
  }
  return worst;
}

/** Mean height over seeds at the end of a noisy bowl, by a constant rate over by one that falls. */
function decayGain() {
  const end = (falling) => Array.from({ length: 40 }, (_, seed) => {
    const random = stream(seed, 41), P = Float64Array.of(3, -2), walk = descent("sgd", P, { momentum: 0 });
    for (let k = 0; k < 300; k++) walk.step(P.map((c) => c + random.normal()), falling ? 0.2 / (1 + 0.05 * k) : 0.2);
    return 0.5 * (P[0] ** 2 + P[1] ** 2);
  }).reduce((s, v) => s + v) / 40;
  return end(false) / end(true);
}

function* numbers() {
  const ravine = (name, rate, steps = 100) => walked(name, LANDS.ravine, steps, { rate, momentum: 0.9, decay: 0.9 }), end = (path) => LANDS.ravine.height(path.at(-1));
  const zigzag = ravine("sgd", 0.035, 39), flips = zigzag.slice(1).filter((p, k) => p[1] * zigzag[k][1] < 0).length, beta = { beta1: 0.9, beta2: 0.999 };
  const uncorrected = moves("adam-uncorrected", 50, beta), still = walked("sgd", { ...LANDS.saddle, start: [1, 0] }, 2000, { rate: 0.01 }).at(-1)[1];
  const left = Array.from({ length: 20 }, (_, seed) => walked("sgd", { ...LANDS.saddle, start: [1, 0] }, 1000, { rate: 0.01, noise: 0.01, seed }).some((p) => Math.abs(p[1]) > 1)).filter(Boolean).length;
  const zero = descent("adam", Float64Array.of(0.5), { epsilon: EPSILON }), P = Float64Array.of(0.5), quiet = descent("adagrad", P, { epsilon: EPSILON });
  quiet.step(Float64Array.of(0), 1);
  zero.step(Float64Array.of(0), 1);
  yield {
    flips, away: end(ravine("sgd", 0.041, 300)) > 124.5 ? 1 : 0, sgd: end(ravine("sgd", 0.035)), momentum: end(ravine("momentum", 0.01)), nesterov: end(ravine("nesterov", 0.01)), printed: printedSign(),
    escapeSgd: escape("sgd"), escapeMomentum: escape("momentum"), escapeNesterov: escape("nesterov"), escapeRms: escape("rmsprop"), escapeAdam: escape("adam"), still: Math.abs(still), left,
    half: moves("sgd", 3000, { momentum: 0.5 }).at(-1), nine: moves("sgd", 3000, { momentum: 0.9 }).at(-1), ninetyNine: moves("sgd", 3000, { momentum: 0.99 }).at(-1), lookAhead: lookAheadGap(),
    adagrad: moves("adagrad", 16, {}).at(-1), rms9: moves("rmsprop", 1, { rho: 0.9 })[0], rms99: moves("rmsprop", 1, { rho: 0.99 })[0], rmsEnd: moves("rmsprop", 4000, { rho: 0.99 }).at(-1),
    first: uncorrected[0], most: Math.max(...uncorrected), when: uncorrected.indexOf(Math.max(...uncorrected)) + 1, corrected: Math.max(...moves("adam", 50, beta).map((m) => Math.abs(m - 1))),
    asRms: Math.abs(moves("adam", 30, { beta1: 0, beta2: 0.9 }).at(-1) - 1), quiet: P[0], decay: decayGain() > 1 ? 1 : 0,
  };
}

export const page = {
  controls: [
    slider("steps", ["steps", "步数"], 1, 300, 1, 60),
    choice("land", ["landscape", "地形"], Object.entries(LANDS).map(([key, { name }]) => [key, name]), "ravine"),
    slider("factor", ["rates, times", "学习率倍数"], -1, 0.5, 0.05, 0, { log: true }),
    slider("momentum", ["momentum", "动量"], 0, 0.99, 0.01, 0.9),
    slider("decay", ["decay of RMSProp", "RMSProp 的衰减"], 0.5, 0.999, 0.001, 0.9),
    slider("noise", ["noise in the gradients", "梯度的噪声"], 0, 1, 0.02, 0),
  ],
  presets: [
    { name: ["at the edge, 0.041", "临界，0.041"], values: { land: "ravine", factor: 0.07, steps: 60 } },
    { name: ["saddle with noise", "带噪声的鞍点"], values: { land: "saddle", noise: 0.1 } },
    { name: ["out of the local minimum?", "能离开局部极小吗？"], values: { land: "minimum", steps: 150, momentum: 0.95 } },
  ],
  play: "steps",
  view,
  numbers,
};
