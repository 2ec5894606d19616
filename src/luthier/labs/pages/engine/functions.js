// Activations with their slopes, and softmax.

/** 1 / (1 + e^-z), without overflow however negative z is. */
export function sigmoid(z) {
  const small = Math.exp(-Math.abs(z));
  return z >= 0 ? 1 / (1 + small) : small / (1 + small);
}

/** sigma' = sigma (1 - sigma), at most a quarter. */
export function sigmoidSlope(z) {
  const a = sigmoid(z);
  return a * (1 - a);
}

/**
 * Activations by name: `value(z)` and `slope(z)`, and `slopeByValue(a)` where the value gives the slope, which is quicker.
 * `lively` is made never to go flat: its slope stays above 0.1.
 */
export const ACTIVATIONS = {
  sigmoid: { value: sigmoid, slope: sigmoidSlope, slopeByValue: (a) => a * (1 - a) },
  tanh: { value: Math.tanh, slope: (z) => 1 - Math.tanh(z) ** 2, slopeByValue: (a) => 1 - a * a },
  relu: { value: (z) => Math.max(0, z), slope: (z) => (z > 0 ? 1 : 0) },
  linear: { value: (z) => z, slope: () => 1 },
  lively: { value: (z) => sigmoid(z) + 0.1 * z, slope: (z) => sigmoidSlope(z) + 0.1 },
};

/** e^(c z) over their sum; the largest is taken off first, so that no score is too large. */
export function softmax(z, c = 1) {
  const top = Math.max(...z), e = Array.from(z, (score) => Math.exp(c * (score - top)));
  const sum = e.reduce((total, value) => total + value, 0);
  return e.map((value) => value / sum);
}

/** da_j / dz_k of softmax at temperature 1: diag(a) - a a^T, as rows. */
export function softmaxSlopes(a) {
  return a.map((one, j) => a.map((other, k) => (j === k ? one : 0) - one * other));
}
