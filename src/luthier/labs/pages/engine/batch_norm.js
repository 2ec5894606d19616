// Batch norm of weighted inputs Z [B, O]: forwards, backwards, and the averages for evaluation.

import { matrix } from "./matrix.js";

export const NORM_EPSILON = 1e-5;

/** Mean and variance (1/B) of every column. */
export function columnMoments(Z) {
  const [B, O] = [Z.rows, Z.columns], mean = new Float64Array(O), variance = new Float64Array(O);
  Z.values.forEach((z, k) => (mean[k % O] += z / B));
  Z.values.forEach((z, k) => (variance[k % O] += (z - mean[k % O]) ** 2 / B));
  return { mean, variance };
}

/** scale (Z - mean) / sqrt(variance + epsilon) + shift, by the batch's own moments or those given. */
export function normalise(Z, scale, shift, moments = columnMoments(Z), epsilon = NORM_EPSILON) {
  const O = Z.columns, root = moments.variance.map((v) => Math.sqrt(v + epsilon));
  const normed = matrix(Z.rows, O, Z.values.map((z, k) => (z - moments.mean[k % O]) / root[k % O]));
  const out = matrix(Z.rows, O, normed.values.map((n, k) => scale[k % O] * n + shift[k % O]));
  return { out, normed, root, moments };
}

/** The six formulas of the backward pass, from dC/dout: by the inputs, the scale and the shift. */
export function normaliseBackward(D, { normed, root }, scale) {
  const [B, O] = [D.rows, D.columns], byScale = new Float64Array(O), byShift = new Float64Array(O);
  D.values.forEach((d, k) => {
    byScale[k % O] += d * normed.values[k];
    byShift[k % O] += d;
  });
  // with dn = d scale: dz = (dn - mean(dn) - n mean(dn n)) / root, which the lecture has in three steps
  const byInput = D.values.map((d, k) => {
    const o = k % O;
    return (scale[o] * (d - byShift[o] / B - (normed.values[k] * byScale[o]) / B)) / root[o];
  });
  return { byInput: matrix(B, O, byInput), byScale, byShift };
}

/** A moving average one step on: decay v + (1 - decay) x, in place. */
export function follow(average, values, decay) {
  for (let k = 0; k < average.length; k++) average[k] = decay * average[k] + (1 - decay) * values[k];
}
