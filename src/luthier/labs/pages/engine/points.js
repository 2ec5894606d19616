// Few points of two kinds: two half moons, some labels wrong.

import { matrix } from "./matrix.js";
import { stream } from "./random.js";

/** n points [n, 2] on two half moons with noise, labels [n, 1] of which a share is wrong. */
export function moons(n, seed, { noise = 0.25, wrong = 0 } = {}) {
  const random = stream(seed, 77), X = matrix(n, 2), Y = matrix(n, 1);
  for (let k = 0; k < n; k++) {
    const kind = k % 2, angle = Math.PI * random.uniform();
    X.values[2 * k] = (kind ? 1 - Math.cos(angle) : Math.cos(angle)) - 0.5 + noise * random.normal();
    X.values[2 * k + 1] = (kind ? 0.5 - Math.sin(angle) : Math.sin(angle)) - 0.25 + noise * random.normal();
    Y.values[k] = random.uniform() < wrong ? 1 - kind : kind;
  }
  return { X, Y };
}
