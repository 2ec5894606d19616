// The polynomial through given points, in Newton's form.

/** Divided differences: the coefficients of Newton's form, the last being that of the highest power. */
export function interpolated(xs, ys) {
  const c = [...ys];
  for (let order = 1; order < xs.length; order++) {
    for (let k = xs.length - 1; k >= order; k--) c[k] = (c[k] - c[k - 1]) / (xs[k] - xs[k - order]);
  }
  return c;
}

/** Its value at x. */
export function polynomialAt(x, xs, c) {
  return c.reduceRight((value, one, k) => (k === c.length - 1 ? one : value * (x - xs[k]) + one), 0);
}
