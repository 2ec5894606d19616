// A training: batches, a rule, a schedule, penalties and dropout, one epoch at a time.

import { chosenRows } from "./matrix.js";
import { muon } from "./muon.js";
import { backward, followMoments, forward, meanCost } from "./network.js";
import { addPenalty, dropMasks } from "./penalties.js";
import { shuffled } from "./random.js";
import { descent, RULES } from "./rules.js";
import { factor } from "./schedules.js";

/**
 * A training of a network on rows X [n, I] with targets Y [n, O]; `epoch()` takes one and gives its mean cost.
 * Settings: cost, rule, rate, batch (0: all rows), epochs (for schedules), schedule, l1, l2, drop, and the rule's own.
 * Rows are shuffled by `random`; without it they keep their order.
 */
export function training(net, X, Y, settings, random = null) {
  const { cost, rule = "sgd", rate, batch = 0, epochs = 1, schedule = {}, l1 = 0, l2 = 0, drop = 0 } = settings;
  const n = X.rows, size = batch || n, total = epochs * Math.ceil(n / size);
  const options = Object.fromEntries(["momentum", "beta1", "beta2", "rho", "epsilon"]
    .filter((name) => name in settings).map((name) => [name, settings[name]]));
  const walk = descent(rule, net.parameters, options);
  const hidden = RULES[rule].orthogonalises ? net.layers.slice(0, -1) : [], turn = muon(hidden.map(({ W }) => W), settings.momentum);
  let step = 0;
  const take = (x, y, masks) => {
    const pass = forward(net, x, { training: true, masks });
    const { flat, gradient } = backward(net, pass, y, cost);
    addPenalty(net, gradient, { l1, l2, n });
    followMoments(net, pass);
    const now = rate * factor(schedule, step++, total);
    turn(gradient.map(({ W }) => W), now);
    walk.step(flat, now);
    return { flat, value: meanCost(pass.A.at(-1), y, cost) };
  };
  const epoch = () => {
    const order = random ? shuffled(n, random) : Array.from({ length: n }, (_, k) => k);
    let sum = 0;
    for (let at = 0; at < n; at += size) {
      const places = order.slice(at, at + size);
      const masks = drop ? dropMasks(net, places.length, drop, random) : [];
      sum += take(chosenRows(X, places), chosenRows(Y, places), masks).value * places.length;
    }
    return sum / n;
  };
  return { take, epoch };
}

/** The share of rows whose most active output is that of the target; with one output, those on the right side of 1/2. */
export function accuracy(net, X, Y) {
  const A = forward(net, X).A.at(-1), C = A.columns;
  let right = 0;
  for (let r = 0; r < A.rows; r++) {
    const [a, y] = [A, Y].map((M) => M.values.subarray(r * C, (r + 1) * C));
    const top = (v) => (C === 1 ? v[0] > 0.5 : v.indexOf(Math.max(...v)));
    right += top(a) === top(y);
  }
  return right / A.rows;
}
