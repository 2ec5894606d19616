// Networks small enough to show every number of, and what their gradients are by other ways.

import { matrix } from "./matrix.js";
import { ACTIVATIONS } from "./functions.js";
import { backward, createNetwork, forward, meanCost } from "./network.js";

/** A sigmoid network of these parameters, one flat row: weights then biases, layer by layer. */
export function networkOf(sizes, parameters, more = {}) {
  const net = createNetwork({ sizes, ...more });
  net.parameters.set(parameters);
  return net;
}

/** One sample as a matrix of one row. */
export const sampleOf = (values) => matrix(1, values.length, Float64Array.from(values));

/** The cost of one sample. */
export function costOf(net, x, y, cost) {
  return meanCost(forward(net, sampleOf(x)).A.at(-1), sampleOf(y), cost);
}

/** The slope by a parameter from differences, central or forward, with a step h. */
export function difference(net, place, costNow, h = 1e-6, central = true) {
  const kept = net.parameters[place], at = (value) => {
    net.parameters[place] = value;
    return costNow();
  };
  const above = at(kept + h), below = central ? at(kept - h) : at(kept);
  net.parameters[place] = kept;
  return (above - below) / (central ? 2 * h : h);
}

/** The largest gap between backpropagation and central differences, over all parameters. */
export function gradientGap(net, x, y, cost) {
  const { flat } = backward(net, forward(net, sampleOf(x)), sampleOf(y), cost), now = () => costOf(net, x, y, cost);
  return Math.max(...Array.from(flat, (slope, place) => Math.abs(slope - difference(net, place, now))));
}

/**
 * All paths from the weight w_jk of a layer to the outputs: the neurons they visit, their factors and products.
 * The sum of the products is the slope of the quadratic cost by that weight.
 */
export function pathsOf(net, { A, Z }, y, layer, j, k) {
  const prime = ACTIVATIONS[net.activation].slope, slopeAt = (l, neuron) => prime(Z[l].values[neuron]), last = net.layers.length - 1;
  const walk = (l, neuron, visited, factors) => {
    if (l === last) return [{ visited, factors: [...factors, A.at(-1).values[neuron] - y[neuron]] }];
    const { W } = net.layers[l + 1];
    return Array.from({ length: W.rows }, (_, next) =>
      walk(l + 1, next, [...visited, next], [...factors, W.values[next * W.columns + neuron] * slopeAt(l + 1, next)])).flat();
  };
  const found = walk(layer, j, [j], [A[layer].values[k] * slopeAt(layer, j)]);
  return found.map((path) => ({ ...path, product: path.factors.reduce((all, f) => all * f, 1) }));
}
