// A network drawn: neurons in columns, weights as lines, numbers beside both.

import { drawn, written } from "./dom.js";

/**
 * { layers: [[{ name, value, under }]], edges: [{ from: [l, k], to: [l, j], weight, text, strong }] }.
 * A line is as thick as its weight, blue above 0 and orange below; strong ones stand out from faded ones.
 */
export function diagram({ layers, edges, height = 300, faded }, width) {
  const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" }), radius = width < 480 ? 21 : 25;
  const place = ([l, k]) => [
    layers.length === 1 ? width / 2 : radius + 18 + ((width - 2 * radius - 36) * l) / (layers.length - 1),
    (height * (k + 0.5)) / layers[l].length,
  ];
  for (const edge of edges) svg.append(...lineOf(edge, place(edge.from), place(edge.to), faded));
  layers.forEach((layer, l) => layer.forEach((neuron, k) => svg.append(...neuronOf(neuron, place([l, k]), radius))));
  return svg;
}

function lineOf({ weight, text, strong, along = 0.36 }, [x1, y1], [x2, y2], faded) {
  const colour = weight < 0 ? "orange" : "blue", thick = Math.min(6, 0.8 + 1.6 * Math.abs(weight));
  const style = `stroke: var(--${colour}); stroke-width: ${strong ? thick + 1.5 : thick}`;
  const line = drawn("line", { x1, y1, x2, y2, style, opacity: faded && !strong ? 0.18 : strong ? 1 : 0.6 });
  if (text === undefined) return [line];
  const [x, y] = [x1 + along * (x2 - x1), y1 + along * (y2 - y1)];
  return [line, drawn("text", { class: "halo", x, y: y - 4, "text-anchor": "middle" }, text)];
}

function neuronOf({ name, value, under, colour = "soft" }, [x, y], radius) {
  const circle = drawn("circle", { cx: x, cy: y, r: radius, class: "neuron", style: `stroke: var(--${colour})` });
  const result = [circle, drawn("text", { x, y: value === undefined ? y + 4 : y - 3, "text-anchor": "middle", class: "label" }, name)];
  if (value !== undefined) result.push(drawn("text", { x, y: y + 12, "text-anchor": "middle" }, typeof value === "number" ? written(value) : value));
  if (under) result.push(drawn("text", { x, y: y + radius + 15, "text-anchor": "middle", class: "halo" }, under));
  return result;
}
