// Where a field over a grid is low, as the outline of an area.

/**
 * The area where z [rows of y][columns of x] is at most `bound`, as an SVG path in the pixels `x` and `y` of the grid.
 * Cells that lie within are joined to one rectangle a row; in others the border is put where z crosses the bound, by
 * linear interpolation along the cell's edges.
 */
export function fieldPath(x, y, z, bound) {
  const parts = [];
  for (let r = 0; r + 1 < y.length; r++) {
    let from = null; // where a run of whole cells began
    for (let c = 0; c < x.length; c++) {
      const corners = c + 1 < x.length ? [[r, c], [r, c + 1], [r + 1, c + 1], [r + 1, c]] : [];
      const lower = corners.filter(([i, j]) => z[i][j] <= bound).length;
      if (lower === 4) {
        from ??= c;
        continue;
      }
      if (from !== null) parts.push(polygon([[x[from], y[r]], [x[c], y[r]], [x[c], y[r + 1]], [x[from], y[r + 1]]]));
      from = null;
      if (lower) parts.push(polygon(cut(corners, x, y, z, bound)));
    }
  }
  return parts.join("");
}

/** The part of a cell that is at most the bound, corner by corner around it. */
function cut(corners, x, y, z, bound) {
  return corners.flatMap(([i, j], k) => {
    const [m, n] = corners[(k + 1) % 4], a = z[i][j] - bound, b = z[m][n] - bound, points = a <= 0 ? [[x[j], y[i]]] : [];
    if (a <= 0 !== b <= 0) {
      const t = a / (a - b);
      points.push([x[j] + t * (x[n] - x[j]), y[i] + t * (y[m] - y[i])]);
    }
    return points;
  });
}

const polygon = (points) => `M${points.map(([a, b]) => `${a.toFixed(1)} ${b.toFixed(1)}`).join("L")}Z`;
