// Penalties on weights, biases left out, and dropout. n is the number of training rows.

import { matrix } from "./matrix.js";

/** What the penalties add to the cost: lambda / (2n) sum w^2 and lambda / n sum |w|. */
export function penalty(net, { l1 = 0, l2 = 0, n }) {
  const sum = (f) => net.layers.reduce((all, { W }) => W.values.reduce((s, w) => s + f(w), all), 0);
  return (l2 ? (l2 / (2 * n)) * sum((w) => w * w) : 0) + (l1 ? (l1 / n) * sum(Math.abs) : 0);
}

/** Their slopes, added to a gradient's layers; the sign of 0 is 0. */
export function addPenalty(net, gradient, { l1 = 0, l2 = 0, n }) {
  if (!l1 && !l2) return;
  net.layers.forEach(({ W }, k) => {
    const into = gradient[k].W.values;
    W.values.forEach((w, place) => (into[place] += (l2 / n) * w + (l1 / n) * Math.sign(w)));
  });
}

/** Masks [B, O] for every hidden layer: 0 with probability p, else 1 / (1 - p), so that the mean stays. */
export function dropMasks(net, rows, p, random) {
  if (!p) return [];
  return net.sizes.slice(1, -1).map((O) => {
    const mask = matrix(rows, O);
    for (let k = 0; k < mask.values.length; k++) mask.values[k] = random.uniform() < p ? 0 : 1 / (1 - p);
    return mask;
  });
}
