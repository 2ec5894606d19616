// Costs of one sample by its outputs a and its target y (arrays), and the error of the output layer, dC/dz.

const TINY = 1e-300; // in place of 0 under a logarithm

function total(a, term) {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += term(a[k], k);
  return sum;
}

/**
 * Costs by name. `error(a, y, slope)` is dC/dz of one output, `slope` being the activation's.
 * Cross-entropy goes with sigmoid outputs and log-likelihood with softmax: their slope cancels.
 */
export const COSTS = {
  quadratic: { value: (a, y) => total(a, (v, k) => 0.5 * (v - y[k]) ** 2), error: (a, y, slope) => (a - y) * slope },
  "cross-entropy": {
    value: (a, y) =>
      -total(a, (v, k) => y[k] * Math.log(Math.max(v, TINY)) + (1 - y[k]) * Math.log(Math.max(1 - v, TINY))),
    error: (a, y) => a - y,
  },
  "log-likelihood": {
    value: (a, y) => -total(a, (v, k) => (y[k] ? y[k] * Math.log(Math.max(v, TINY)) : 0)),
    error: (a, y) => a - y,
  },
};
