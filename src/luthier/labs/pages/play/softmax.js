// Four scores, their probabilities, and a constant before the scores.

import { COSTS } from "../engine/costs.js";
import { sigmoid, softmax, softmaxSlopes } from "../engine/functions.js";
import { spaced } from "../engine/statistics.js";
import { slider } from "../frame/controls.js";
import { percent, written } from "../frame/dom.js";

const COLOURS = ["blue", "orange", "green", "purple"], LECTURE = [5, 2, -1, 3];
const log10Spaced = (low, high, count) => spaced(low, high, count).map((v) => 10 ** v);

function* view({ z1, z2, z3, z4, c }) {
  const z = [z1, z2, z3, z4], a = softmax(z, c), fourth = spaced(-5, 5, 101);
  const moved = fourth.map((v) => softmax([z1, z2, z3, v], c)), constants = log10Spaced(-2, 1.5, 120);
  const cooled = constants.map((v) => softmax(z, v)), names = z.map((_, k) => `a${"₁₂₃₄"[k]}`), list = a.map((v) => written(v, 3)).join(", ");
  yield {
    message: [`Probabilities ${list}; they add up to 1.`, `概率为 ${list}；总和为 1。`],
    figures: [
      {
        title: ["Probabilities", "概率"], lost: true, height: 220, x: { label: ["output", "输出"], names }, y: { label: ["probability", "概率"], low: 0, high: 1.08, ticks: [0, 0.25, 0.5, 0.75, 1] },
        layers: [{ kind: "bars", x: [0, 1, 2, 3], y: a, colours: COLOURS, colour: "blue", labels: a.map((v) => percent(v)), width: 0.55 }],
      },
      {
        title: ["All move when the fourth score does", "第四个得分一变，全都跟着变"], height: 240,
        x: { label: "z₄" }, y: { label: ["probability", "概率"], low: 0, high: 1 },
        layers: [...names.map((name, k) => ({ kind: "line", x: fourth, y: moved.map((p) => p[k]), colour: COLOURS[k], name })), { kind: "mark", x: [z4], name: ["now", "当前值"] }],
      },
      {
        title: ["From uniform to one-hot, by the constant c", "常数 c 使概率从均匀走向独热"], height: 240,
        x: { label: "c = 1 / T", log: true }, y: { label: ["probability", "概率"], low: 0, high: 1 },
        layers: [...names.map((name, k) => ({ kind: "line", x: constants, y: cooled.map((p) => p[k]), colour: COLOURS[k], name })), { kind: "mark", x: [c], name: ["now", "当前值"] }],
      },
    ],
    table: {
      head: ["", ...names],
      rows: [
        [["score z", "得分 z"], ...z],
        [["e to the power of c z", "e 的 c z 次方"], ...z.map((v) => Math.exp(c * v))],
        [["probability a", "概率 a"], ...a],
        [["cost if it is the right class, −ln a", "若为正确类别的代价 −ln a"], ...a.map((v) => -Math.log(v))],
        [["derivative by its own score", "对自身得分的导数"], ...softmaxSlopes(a).map((row, k) => c * row[k])],
      ],
    },
  };
}

/** The largest gap between dC/dz by differences and a - y. */
function slopeGap() {
  const h = 1e-6, y = [1, 0, 0, 0], a = softmax(LECTURE), cost = (z) => COSTS["log-likelihood"].value(softmax(z), y);
  return Math.max(...LECTURE.map((_, k) => {
    const side = (s) => cost(LECTURE.map((v, j) => v + (j === k ? s : 0)));
    return Math.abs((side(h) - side(-h)) / (2 * h) - (a[k] - y[k]));
  }));
}

function* numbers() {
  const t = LECTURE.map(Math.exp), a = softmax(LECTURE), slopes = softmaxSlopes(a), begin = softmax([2.5, -1, 3.2, 0.5]);
  const raised = softmax([2.5, -1, 3.2, 1.5]), cold = softmax(LECTURE, 0.1), shift = a.map((v, k) => Math.log(v) - LECTURE[k]);
  const gap = (one, other) => Math.max(...one.map((v, k) => Math.abs(v - other[k])));
  const off = slopes.flatMap((row, j) => row.filter((_, k) => k !== j)), range = (v) => Math.max(...v) - Math.min(...v);
  yield {
    t1: t[0], t2: t[1], t3: t[2], t4: t[3], sum: t.reduce((s, v) => s + v), a1: a[0], a2: a[1], a3: a[2], a4: a[3],
    total: a.reduce((s, v) => s + v), one: softmax([1, 2])[1], ten: softmax([10, 20])[1], plain: 20 / 30,
    two: Math.max(...spaced(-9, 9, 37).map((z) => Math.abs(softmax([z, 0.7])[0] - sigmoid(z - 0.7)))), hard: softmax(LECTURE, 1000)[0],
    loss: COSTS["log-likelihood"].value(a, [1, 0, 0, 0]), slopeGap: slopeGap(), errorOfFirst: a[0] - 1,
    shifted: gap(softmax(LECTURE.map((v) => v + 100)), a), begin1: begin[0], begin2: begin[1], begin3: begin[2], begin4: begin[3],
    change: raised.reduce((s, v, k) => s + v - begin[k], 0), rise: raised[3] - begin[3], ten0: 10 * sigmoid(0),
    own1: slopes[0][0], own2: slopes[1][1], own3: slopes[2][2], own4: slopes[3][3], positive: off.filter((v) => v >= 0).length,
    weakest: Math.min(...off.map(Math.abs)), spread: range(shift), back: gap(softmax(a.map(Math.log)), a),
    cold1: cold[0], cold2: cold[1], cold3: cold[2], cold4: cold[3], c2: softmax(LECTURE, 2)[0], c5: softmax(LECTURE, 5)[0], c50: softmax(LECTURE, 50)[0],
    ties: softmax([3, 3, 1], 50)[0], kept: a.indexOf(Math.max(...a)), huge: softmax([1000, 0])[0],
  };
}

export const page = {
  controls: [
    ...[2.5, -1, 3.2, 0.5].map((start, k) => slider(`z${k + 1}`, [`score z${"₁₂₃₄"[k]}`, `得分 z${"₁₂₃₄"[k]}`], -5, 5, 0.1, start)),
    slider("c", ["constant c = 1 / temperature", "常数 c = 1 / 温度"], -2, 1.5, 0.05, 0, { log: true }),
  ],
  presets: [
    { name: ["the lecture's scores", "讲义的得分"], values: { z1: 5, z2: 2, z3: -1, z4: 3, c: 0 } },
    { name: ["hot, c = 0.1", "高温，c = 0.1"], values: { c: -1 } },
    { name: ["cold, c = 10", "低温，c = 10"], values: { c: 1 } },
  ],
  view,
  numbers,
};
