// Charts: an SVG from axes and layers, drawn for the width that there is.

import { fieldPath } from "./contours.js";
import { drawn, element, written } from "./dom.js";

let clips = 0;

const RIGHT = 14, TOP = 10, BOTTOM = 42, LETTER = 7; // pixels; a digit of the axes is about LETTER wide
const FIELD_LEVELS = 8, FIELD_OPACITY = 0.07; // levels lie on one another, so that the lowest is eight times as dense

/**
 * A figure: { title, x, y, layers, height, lost }. An axis is { label, low, high, log, ticks, names, zero, round }; a layer is
 * { kind: line | band | points | bars | mark | field | arrow, x, y, low, high, colour, name, dash }.
 * `lost` says that the document's own figure is missing and this is it, drawn again.
 */
export function chart(figure, width) {
  const height = figure.square ? Math.min(width, 440) : (figure.height ?? 280), floor = height - BOTTOM;
  const y = axis({ round: true, ...figure.y }, values(figure.layers, ["y", "low", "high"]), floor, TOP);
  const left = 30 + LETTER * Math.max(3, ...y.texts.map((text) => text.length));
  const x = axis(figure.x, values(figure.layers, ["x"]), left, width - RIGHT);
  const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" });
  const id = `clip-${++clips}`; // each figure's own: lines end where the axes do
  const inside = drawn("g", { "clip-path": `url(#${id})` });
  svg.append(drawn("clipPath", { id }, drawn("rect", { x: left, y: TOP - 3, width: width - RIGHT - left + 3, height: floor - TOP + 4 })));
  for (const layer of figure.layers) inside.append(...KINDS[layer.kind](layer, x.at, y.at, { x, y }));
  svg.append(...grid(x, y, figure, { left, right: width - RIGHT, floor, height }), inside);
  return svg;
}

/** The names of a figure's layers, in their colours; a level mark has its name beside it. */
export function legend(figure) {
  const named = figure.layers.filter((layer) => layer.name && !(layer.kind === "mark" && layer.y));
  if (!named.length) return null;
  const key = ({ kind, colour = "soft", dash }) => element("i", { class: `key ${kind}${dash ? " dashed" : ""}`, style: `--c: var(--${colour})` });
  return element("p", { class: "legend" }, ...named.map((layer) => element("span", {}, key(layer), layer.name)));
}

function values(layers, names) {
  const all = layers.flatMap((layer) => (layer.free ? [] : names.flatMap((name) => Array.from(layer[name] ?? []))));
  return all.filter((v) => typeof v === "number" && Number.isFinite(v));
}

/** An axis as a function from values to pixels, with its ticks; a `round` one ends at ticks where no end is given. */
function axis({ low, high, log, ticks, names, zero, round }, found, from, to) {
  const some = log ? found.filter((v) => v > 0) : found, count = Math.abs(to - from) < 330 ? 5 : 7;
  let a = low ?? some.reduce((m, v) => Math.min(m, v), Infinity), b = high ?? some.reduce((m, v) => Math.max(m, v), -Infinity);
  if (!Number.isFinite(a) || !Number.isFinite(b)) [a, b] = log ? [0.1, 1] : [0, 1];
  if (zero && low === undefined) a = Math.min(0, a);
  if (a === b) [a, b] = log ? [a / 2, b * 2] : [a - 0.5, b + 0.5];
  if (names) [a, b] = [-0.6, names.length - 0.4];
  else if (round) [a, b] = roundedEnds(a, b, { low, high, log, count });
  const f = log ? Math.log10 : (v) => v, span = f(b) - f(a);
  const at = (v) => from + ((to - from) * (f(Math.max(v, log ? a * 1e-6 : -Infinity)) - f(a))) / span;
  const marks = names ? names.map((_, k) => k) : (ticks ?? (log ? logTicks(a, b) : niceTicks(a, b, count)));
  return { at, low: a, high: b, ticks: marks, names, texts: marks.map((v) => (names ? String(names[v]) : tickText(v, log))) };
}

function roundedEnds(a, b, { low, high, log, count }) {
  if (log) return [low ?? a * (a / b) ** 0.04, high ?? b * (b / a) ** 0.04];
  const step = niceStep(a, b, count);
  return [low ?? Math.floor(a / step + 1e-9) * step, high ?? Math.ceil(b / step - 1e-9) * step];
}

/** A round step, one that both ends are multiples of where it is not much larger. */
function niceStep(a, b, count) {
  const raw = (b - a) / count, power = 10 ** Math.floor(Math.log10(raw));
  const steps = [1, 2, 2.5, 4, 5, 10, 20].map((m) => m * power).filter((step) => step >= raw * (1 - 1e-9));
  const fits = (step) => [a, b].every((v) => Math.abs(v / step - Math.round(v / step)) < 1e-6);
  return steps.find((step) => step < 2.2 * raw && fits(step)) ?? steps[0];
}

function niceTicks(a, b, count) {
  const step = niceStep(a, b, count), result = [];
  for (let v = Math.ceil(a / step - 1e-9) * step; v <= b + step * 1e-9; v += step) result.push(Math.abs(v) < step * 1e-9 ? 0 : +v.toPrecision(10));
  return result;
}

/** Powers of ten, at most seven; where there are fewer than three, 1, 2 and 5 of each. */
function logTicks(a, b) {
  const first = Math.floor(Math.log10(a) + 1e-9), last = Math.floor(Math.log10(b) + 1e-9), powers = [];
  for (let k = first; k <= last; k++) powers.push(10 ** k);
  const within = (list) => list.filter((v) => v >= a * (1 - 1e-9) && v <= b * (1 + 1e-9)), whole = within(powers);
  if (whole.length > 2) return whole.filter((_, k) => k % Math.ceil(whole.length / 7) === 0);
  const finer = within(powers.flatMap((v) => [v, 2 * v, 5 * v]));
  return finer.length > 2 ? finer : niceTicks(a, b, 4).filter((v) => v > 0);
}

function tickText(v, log) {
  return log && (v > 1000 || v < 0.01) ? written(v, 1, true) : written(v, 4);
}

function grid(x, y, figure, { left, right, floor, height }) {
  const result = [], middle = (TOP + floor) / 2, widest = LETTER * Math.max(...x.texts.map((text) => text.length)) + 10;
  const every = x.names ? 1 : Math.max(1, Math.ceil((widest * x.ticks.length) / (right - left))); // texts must not touch
  y.ticks.forEach((v, k) => {
    result.push(drawn("line", { class: "grid", x1: left, x2: right, y1: y.at(v), y2: y.at(v) }));
    result.push(drawn("text", { x: left - 7, y: y.at(v) + 4, "text-anchor": "end" }, y.texts[k]));
  });
  x.ticks.forEach((v, k) => {
    if (!x.names) result.push(drawn("line", { class: "grid", x1: x.at(v), x2: x.at(v), y1: TOP, y2: floor }));
    if (k % every === 0) result.push(drawn("text", { x: x.at(v), y: floor + 17, "text-anchor": "middle" }, x.texts[k]));
  });
  result.push(drawn("line", { class: "axis", x1: left, x2: right, y1: floor, y2: floor }));
  result.push(drawn("text", { class: "label", x: (left + right) / 2, y: height - 6, "text-anchor": "middle" }, figure.x.label));
  result.push(drawn("text", { class: "label", x: 11, y: middle, "text-anchor": "middle", transform: `rotate(-90 11 ${middle})` }, figure.y.label));
  return result;
}

const points = (xs, ys, px, py) => Array.from(xs, (v, k) => [px(v), py(ys[k])]).filter((p) => p.every(Number.isFinite));
const trace = (list) => list.map(([a, b]) => `${a.toFixed(1)},${b.toFixed(1)}`).join(" ");

const KINDS = {
  line({ x, y, colour, dash, width = 2, step }, px, py) {
    let list = points(x, y, px, py);
    if (step) list = list.flatMap((p, k) => (k ? [[p[0], list[k - 1][1]], p] : [p]));
    return [drawn("polyline", { points: trace(list), class: "line", style: `stroke: var(--${colour}); stroke-width: ${width}`, "stroke-dasharray": dash ? "5 4" : null })];
  },
  band({ x, low, high, colour }, px, py) {
    const outline = [...points(x, high, px, py), ...points(x, low, px, py).reverse()];
    return [drawn("polygon", { points: trace(outline), class: "band", style: `fill: var(--${colour})` })];
  },
  points({ x, y, colour, size = 3.5, hollow }, px, py) {
    const style = hollow ? `fill: var(--paper); stroke: var(--${colour}); stroke-width: 1.6` : `fill: var(--${colour})`;
    return points(x, y, px, py).map(([a, b]) => drawn("circle", { cx: a.toFixed(1), cy: b.toFixed(1), r: size, style }));
  },
  bars({ x, y, colour, colours, width = 0.7, labels }, px, py, { y: vertical }) {
    const base = py(vertical.log ? vertical.low : Math.max(0, vertical.low)), half = (Math.abs(px(x[1] ?? x[0] + 1) - px(x[0])) * width) / 2;
    return Array.from(x).flatMap((v, k) => {
      const top = py(y[k]), fill = `fill: var(--${colours?.[k] ?? colour})`;
      const bar = drawn("rect", { x: px(v) - half, y: Math.min(top, base), width: 2 * half, height: Math.abs(base - top), style: fill });
      return labels ? [bar, drawn("text", { class: "value", x: px(v), y: Math.min(top, base) - 4, "text-anchor": "middle" }, labels[k])] : [bar];
    });
  },
  mark({ x, y, name, colour = "soft" }, px, py, { x: across, y: up }) {
    const style = `stroke: var(--${colour})`;
    if (x) return x.map((v) => drawn("line", { class: "mark", x1: px(v), x2: px(v), y1: py(up.low), y2: py(up.high), style }));
    const lines = y.map((v) => drawn("line", { class: "mark", x1: px(across.low), x2: px(across.high), y1: py(v), y2: py(v), style }));
    return name ? [...lines, drawn("text", { x: px(across.high) - 4, y: py(y[0]) - 5, "text-anchor": "end" }, name)] : lines;
  },
  field({ x, y, z, colour = "blue", bounds = quantiles(z.flat(), FIELD_LEVELS) }, px, py) {
    return bounds.map((bound) => drawn("path", { d: fieldPath(x.map(px), y.map(py), z, bound), style: `fill: var(--${colour})`, opacity: FIELD_OPACITY }));
  },
  arrow({ x, y, colour }, px, py) {
    const [[a, b], [c, d]] = [[px(x[0]), py(y[0])], [px(x[1]), py(y[1])]], turn = Math.atan2(d - b, c - a);
    const wing = (side) => `${c - 9 * Math.cos(turn + side)},${d - 9 * Math.sin(turn + side)}`;
    return [drawn("polyline", { points: `${a},${b} ${c},${d} ${wing(0.4)} ${c},${d} ${wing(-0.4)}`, class: "line", style: `stroke: var(--${colour}); stroke-width: 2` })];
  },
};

function quantiles(all, count) {
  const sorted = all.filter(Number.isFinite).sort((a, b) => a - b);
  return Array.from({ length: count }, (_, k) => sorted[Math.floor(((sorted.length - 1) * (k + 1)) / count)]);
}
