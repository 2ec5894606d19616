// One sigmoid neuron with one input: its way down a cost.

import { COSTS } from "./costs.js";
import { sigmoid, sigmoidSlope } from "./functions.js";
import { stream } from "./random.js";

/** Weight, bias, output, cost and size of the slope by the weight at epochs 0 to `epochs`. */
export function neuronPath({ w, b, eta, cost, epochs, x = 1, y = 0 }) {
  const path = { w: [], b: [], a: [], cost: [], slope: [] }, { value, error } = COSTS[cost];
  for (let k = 0; k <= epochs; k++) {
    const z = w * x + b, a = sigmoid(z), d = error(a, y, sigmoidSlope(z));
    path.w.push(w);
    path.b.push(b);
    path.a.push(a);
    path.cost.push(value([a], [y]));
    path.slope.push(Math.abs(d * x));
    w -= eta * d * x;
    b -= eta * d;
  }
  return path;
}

/** Paths from starts scattered by N(0, spread) around the origin, one for each seed. */
export function scattered(seeds, spread, walk) {
  return Array.from({ length: spread ? seeds : 1 }, (_, seed) => {
    const random = stream(seed);
    return walk(spread * random.normal(), spread * random.normal());
  });
}
