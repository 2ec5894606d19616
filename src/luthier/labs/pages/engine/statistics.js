// What curves over seeds come to.

/** The mean of numbers. */
export function meanOf(values) {
  return values.reduce((sum, v) => sum + v, 0) / values.length;
}

/** The standard deviation of numbers (1/n, or 1/(n - 1) with `sample`). */
export function deviationOf(values, sample = false) {
  const mean = meanOf(values);
  return Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (values.length - (sample ? 1 : 0)));
}

/** The value below which a share of the numbers lies, by linear interpolation. */
export function quantileOf(values, share) {
  const sorted = Float64Array.from(values).sort(), at = share * (sorted.length - 1), low = Math.floor(at);
  return sorted[low] + (at - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
}

/** Curves [seeds][points] as their median and the band that holds the middle 80 %. */
export function bandOf(curves) {
  const columns = curves[0].map((_, k) => curves.map((curve) => curve[k]));
  const at = (share) => columns.map((column) => quantileOf(column, share));
  return { middle: at(0.5), low: at(0.1), high: at(0.9) };
}

/** Evenly spaced numbers, both ends among them. */
export function spaced(low, high, count) {
  return Array.from({ length: count }, (_, k) => low + ((high - low) * k) / (count - 1));
}
