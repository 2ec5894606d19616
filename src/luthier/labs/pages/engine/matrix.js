// Matrices as one row of float64. B rows are samples, I inputs, O outputs.

/** A matrix [rows, columns] of zeros, or of the values given (not copied). */
export function matrix(rows, columns, values = new Float64Array(rows * columns)) {
  return { rows, columns, values };
}

/** A matrix from an array of rows. */
export function fromRows(rows) {
  return matrix(rows.length, rows[0].length, Float64Array.from(rows.flat()));
}

/** A matrix as an array of rows. */
export function toRows(A) {
  return Array.from({ length: A.rows }, (_, k) => Array.from(A.values.subarray(k * A.columns, (k + 1) * A.columns)));
}

/** A function of each element, which is given the value and its index. */
export function mapped(A, f) {
  const result = matrix(A.rows, A.columns), from = A.values, into = result.values;
  for (let k = 0; k < from.length; k++) into[k] = f(from[k], k); // several times as fast as a typed array's map
  return result;
}

/** Some rows of a matrix, by their numbers. */
export function chosenRows(A, places) {
  const I = A.columns, from = A.values, result = matrix(places.length, I), into = result.values;
  for (let k = 0, at = 0; k < places.length; k++) {
    for (let p = places[k] * I, end = p + I; p < end; p++) into[at++] = from[p];
  }
  return result;
}

/** Rows as columns. */
export function transposed(A) {
  const result = matrix(A.columns, A.rows);
  for (let k = 0; k < A.values.length; k++) result.values[(k % A.columns) * A.rows + Math.floor(k / A.columns)] = A.values[k];
  return result;
}

/** A [B, I] times the transpose of W [O, I]: [B, O]. */
export function timesTransposed(A, W) {
  const [I, O] = [A.columns, W.rows], a = A.values, w = W.values, result = matrix(A.rows, O);
  for (let r = 0; r < A.rows; r++) {
    for (let o = 0; o < O; o++) {
      let sum = 0;
      for (let k = 0, p = r * I, q = o * I; k < I; k++, p++, q++) sum += a[p] * w[q];
      result.values[r * O + o] = sum;
    }
  }
  return result;
}

/** D [B, O] times W [O, I]: [B, I]. */
export function times(D, W) {
  const [O, I] = [W.rows, W.columns], result = matrix(D.rows, I);
  for (let r = 0; r < D.rows; r++) {
    for (let o = 0; o < O; o++) {
      const d = D.values[r * O + o];
      if (d === 0) continue;
      for (let k = 0, p = r * I, q = o * I; k < I; k++, p++, q++) result.values[p] += d * W.values[q];
    }
  }
  return result;
}

/** D [B, O] with a row [O] added to each of its rows. */
export function plusRow(D, row) {
  const O = D.columns, d = D.values, result = matrix(D.rows, O);
  for (let k = 0, o = 0; k < d.length; k++, o = o + 1 === O ? 0 : o + 1) result.values[k] = d[k] + row[o];
  return result;
}

/** The sum of the rows of D [B, O], times a factor, added to a row [O]. */
export function addRows(D, factor, into) {
  const O = D.columns, d = D.values;
  for (let k = 0, o = 0; k < d.length; k++, o = o + 1 === O ? 0 : o + 1) into[o] += factor * d[k];
}

/** The transpose of D [B, O] times A [B, I], times a factor, into a matrix [O, I] of zeros. */
export function addOuter(D, A, factor, into) {
  const [O, I] = [D.columns, A.columns];
  for (let r = 0; r < D.rows; r++) {
    for (let o = 0; o < O; o++) {
      const d = factor * D.values[r * O + o];
      if (d === 0) continue;
      for (let k = 0, p = r * I, q = o * I; k < I; k++, p++, q++) into.values[q] += d * A.values[p];
    }
  }
}
