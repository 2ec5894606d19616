// Dense networks and the four equations of backpropagation. B samples in rows; a layer is a = f(a W^T + b).

import { follow, normalise, normaliseBackward } from "./batch_norm.js";
import { COSTS } from "./costs.js";
import { ACTIVATIONS, softmax } from "./functions.js";
import { addOuter, addRows, matrix, mapped, plusRow, times, timesTransposed } from "./matrix.js";

const KEPT = 0.9; // share of the old in batch norm's moving averages

/**
 * A network of these sizes, all parameters 0 in one flat row that its layers are views of.
 * `output` is an activation's name or "softmax"; with `batchNorm` hidden layers have scale and shift in place of biases.
 */
export function createNetwork({ sizes, activation = "sigmoid", output = "sigmoid", batchNorm = false }) {
  const shapes = sizes.slice(1).map((O, k) => ({ O, I: sizes[k], normed: batchNorm && k < sizes.length - 2 }));
  const count = shapes.reduce((sum, { O, I, normed }) => sum + O * I + O + (normed ? O : 0), 0);
  const net = { sizes, activation, output, batchNorm, parameters: new Float64Array(count) };
  net.layers = layerViews(net.parameters, shapes);
  for (const layer of net.layers) {
    if (!layer.scale) continue;
    layer.scale.fill(1);
    layer.averages = { mean: new Float64Array(layer.W.rows), variance: new Float64Array(layer.W.rows).fill(1) };
  }
  return net;
}

/** Views of a flat row as layers: `W` [O, I] and `b` [O], or `scale` and `shift` [O] where it is normalised. */
function layerViews(flat, shapes) {
  let at = 0;
  const take = (size) => flat.subarray(at, (at += size));
  return shapes.map(({ O, I, normed }) => {
    const W = matrix(O, I, take(O * I));
    return normed ? { W, scale: take(O), shift: take(O) } : { W, b: take(O) };
  });
}

/** The flat row's layers for a gradient of the same network. */
export function gradientViews(net, flat) {
  return layerViews(flat, net.layers.map(({ W, scale }) => ({ O: W.rows, I: W.columns, normed: Boolean(scale) })));
}

/** Standard deviations of first weights by scheme, for I inputs of a layer. */
export const SCHEMES = {
  large: () => 1,
  small: () => 0.01,
  xavier: (I) => Math.sqrt(1 / I),
  he: (I) => Math.sqrt(2 / I),
};

/** Draw first weights by a scheme; biases from N(0, 1) with Nielsen's large weights, else 0. */
export function initialise(net, random, scheme = "xavier") {
  for (const { W, b } of net.layers) {
    const deviation = SCHEMES[scheme](W.columns);
    for (let k = 0; k < W.values.length; k++) W.values[k] = deviation * random.normal();
    if (b) b.forEach((_, k) => (b[k] = scheme === "large" ? random.normal() : 0));
  }
  return net;
}

/**
 * All that a forward pass makes of X [B, I]: activations `A` (A[0] is X) and weighted inputs `Z` of every layer.
 * `masks` [B, O] multiply hidden activations (0 drops a unit, 1 / (1 - p) keeps it); `training` lets batch norm use the
 * batch's own moments.
 */
export function forward(net, X, { training = false, masks = [] } = {}) {
  const A = [X], Z = [], norms = [], last = net.layers.length - 1;
  net.layers.forEach((layer, k) => {
    const linear = timesTransposed(A[k], layer.W);
    if (layer.scale) {
      norms[k] = normalise(linear, layer.scale, layer.shift, training ? undefined : layer.averages);
      Z[k] = norms[k].out;
    } else {
      Z[k] = plusRow(linear, layer.b);
    }
    A[k + 1] = k === last ? outputs(net, Z[k]) : mapped(Z[k], ACTIVATIONS[net.activation].value);
    if (k < last && masks[k]) A[k + 1] = mapped(A[k + 1], (a, place) => a * masks[k].values[place]);
  });
  return { A, Z, norms, masks };
}

function outputs(net, Z) {
  if (net.output !== "softmax") return mapped(Z, ACTIVATIONS[net.output].value);
  const rows = Array.from({ length: Z.rows }, (_, r) => softmax(Z.values.subarray(r * Z.columns, (r + 1) * Z.columns)));
  return matrix(Z.rows, Z.columns, Float64Array.from(rows.flat()));
}

/**
 * The four equations, from a forward pass to the gradient of the mean cost, as one flat row.
 * BP1 is the error of the output layer, BP2 that of a layer from the next one's, BP3 and BP4 the slopes by biases and
 * weights. `deltas` are the errors dC/dz of single samples.
 */
export function backward(net, { A, Z, norms, masks }, Y, cost) {
  const B = Y.rows, last = net.layers.length - 1, flat = new Float64Array(net.parameters.length);
  const gradient = gradientViews(net, flat), deltas = [];
  const slope = net.output === "softmax" ? () => 1 : ACTIVATIONS[net.output].slope;
  let delta = mapped(Y, (y, k) => COSTS[cost].error(A[last + 1].values[k], y, slope(Z[last].values[k]))); // BP1
  for (let k = last; k >= 0; k--) {
    deltas[k] = delta;
    let D = delta;
    if (net.layers[k].scale) {
      const { byInput, byScale, byShift } = normaliseBackward(D, norms[k], net.layers[k].scale);
      byScale.forEach((d, o) => (gradient[k].scale[o] = d / B));
      byShift.forEach((d, o) => (gradient[k].shift[o] = d / B));
      D = byInput;
    } else {
      addRows(D, 1 / B, gradient[k].b); // BP3
    }
    addOuter(D, A[k], 1 / B, gradient[k].W); // BP4
    if (k === 0) break;
    delta = hiddenError(net, times(D, net.layers[k].W), Z[k - 1].values, A[k].values, masks[k - 1]?.values); // BP2
  }
  return { flat, gradient, deltas };
}

/** What comes from the next layer times the activation's slope; with a mask, `a` is no longer the activation's value. */
function hiddenError(net, below, z, a, mask) {
  const { slope, slopeByValue } = ACTIVATIONS[net.activation];
  if (mask) return mapped(below, (d, place) => d * slope(z[place]) * mask[place]);
  return mapped(below, slopeByValue ? (d, place) => d * slopeByValue(a[place]) : (d, place) => d * slope(z[place]));
}

/** The mean cost over samples. */
export function meanCost(A, Y, cost) {
  let sum = 0;
  for (let r = 0; r < Y.rows; r++) {
    const [from, to] = [r * Y.columns, (r + 1) * Y.columns];
    sum += COSTS[cost].value(A.values.subarray(from, to), Y.values.subarray(from, to));
  }
  return sum / Y.rows;
}

/** Move batch norm's averages towards the moments of a training pass. */
export function followMoments(net, { norms }) {
  net.layers.forEach(({ averages }, k) => {
    if (!averages) return;
    follow(averages.mean, norms[k].moments.mean, KEPT);
    follow(averages.variance, norms[k].moments.variance, KEPT);
  });
}
