// Muon: hidden layers' weights move along their momentum made orthogonal (Jordan and others, 2024).

import { follow } from "./batch_norm.js";
import { mapped, matrix, times, timesTransposed, transposed } from "./matrix.js";

const COEFFICIENTS = [3.4445, -4.775, 2.0315], ITERATIONS = 5; // the quintic brings singular values between 0.7 and 1.2
const SMALLEST_NORM = 1e-7, RMS_OF_ADAM = 0.2; // steps of this size a number are Adam's, so that one rate serves both

/** A matrix with its singular values brought near 1, by five Newton-Schulz iterations. */
export function orthogonal(X) {
  if (X.rows > X.columns) return transposed(orthogonal(transposed(X)));
  const [a, b, c] = COEFFICIENTS, norm = Math.max(SMALLEST_NORM, Math.hypot(...X.values));
  let Q = mapped(X, (v) => v / norm);
  for (let k = 0; k < ITERATIONS; k++) {
    const gram = timesTransposed(Q, Q), square = times(gram, gram);
    const turned = times(mapped(gram, (v, place) => b * v + c * square.values[place]), Q);
    Q = mapped(Q, (v, place) => a * v + turned.values[place]);
  }
  return Q;
}

/** Moves matrices W by their gradients, one call a step, and leaves the gradients 0 for the rule that follows. */
export function muon(matrices, momentum = 0.9) {
  const means = matrices.map(({ values }) => new Float64Array(values.length));
  return (gradients, rate) => matrices.forEach((W, k) => {
    const g = gradients[k].values, mean = means[k], size = RMS_OF_ADAM * Math.sqrt(Math.max(W.rows, W.columns));
    follow(mean, g, momentum);
    const ahead = orthogonal(matrix(W.rows, W.columns, g.map((v, place) => (1 - momentum) * v + momentum * mean[place])));
    ahead.values.forEach((v, place) => (W.values[place] -= rate * size * v));
    g.fill(0);
  });
}
