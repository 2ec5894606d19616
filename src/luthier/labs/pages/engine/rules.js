// Update rules on a flat row of parameters P with gradients G; step numbers start at 1, as the bias correction needs.

const NADAM_DECAY = 0.004; // how fast NAdam's momentum warms up (Dozat, 2016)

const zeros = (...names) => (size) => Object.fromEntries(names.map((name) => [name, new Float64Array(size)]));

/** Momentum in front: the velocity one step on, and what to take of it. */
function byVelocity(take) {
  return (P, G, { velocity }, { rate, momentum = 0.9 }) => {
    for (let k = 0; k < P.length; k++) {
      velocity[k] = momentum * velocity[k] + G[k];
      P[k] -= rate * take(velocity[k], G[k], momentum);
    }
  };
}

function nesterovVelocity(P, G, { velocity }, { rate, momentum = 0.9 }) {
  for (let k = 0; k < P.length; k++) {
    const old = velocity[k];
    velocity[k] = momentum * old - rate * G[k];
    P[k] += (1 + momentum) * velocity[k] - momentum * old;
  }
}

function adagrad(P, G, { square }, { rate, epsilon }) {
  for (let k = 0; k < P.length; k++) {
    square[k] += G[k] * G[k];
    P[k] -= (rate * G[k]) / (Math.sqrt(square[k]) + epsilon);
  }
}

function rmsprop(P, G, { square }, { rate, epsilon, rho }) {
  for (let k = 0; k < P.length; k++) {
    square[k] = rho * square[k] + (1 - rho) * G[k] * G[k];
    P[k] -= (rate * G[k]) / (Math.sqrt(square[k]) + epsilon);
  }
}

/** Adam, with its moments corrected for their start at 0 or as they are. */
function byMoments(corrected) {
  return (P, G, { mean, square }, { rate, epsilon, beta1 = 0.9, beta2 = 0.999 }, step) => {
    const first = corrected ? 1 - beta1 ** step : 1, second = corrected ? 1 - beta2 ** step : 1;
    for (let k = 0; k < P.length; k++) {
      mean[k] = beta1 * mean[k] + (1 - beta1) * G[k];
      square[k] = beta2 * square[k] + (1 - beta2) * G[k] * G[k];
      P[k] -= ((rate / first) * mean[k]) / (Math.sqrt(square[k] / second) + epsilon);
    }
  };
}

function adadelta(P, G, { square, change }, { rate, epsilon, rho }) {
  for (let k = 0; k < P.length; k++) {
    square[k] = rho * square[k] + (1 - rho) * G[k] * G[k];
    const move = (Math.sqrt(change[k] + epsilon) / Math.sqrt(square[k] + epsilon)) * G[k];
    change[k] = rho * change[k] + (1 - rho) * move * move;
    P[k] -= rate * move;
  }
}

function adamax(P, G, { mean, largest }, { rate, epsilon, beta1 = 0.9, beta2 = 0.999 }, step) {
  for (let k = 0; k < P.length; k++) {
    mean[k] = beta1 * mean[k] + (1 - beta1) * G[k];
    largest[k] = Math.max(beta2 * largest[k], Math.abs(G[k]) + epsilon);
    P[k] -= ((rate / (1 - beta1 ** step)) * mean[k]) / largest[k];
  }
}

function nadam(P, G, state, { rate, epsilon, beta1 = 0.9, beta2 = 0.999 }, step) {
  const warmed = (t) => beta1 * (1 - 0.5 * 0.96 ** (t * NADAM_DECAY));
  const now = warmed(step), next = warmed(step + 1), { mean, square } = state;
  state.product = (state.product ?? 1) * now;
  const ahead = (rate * (1 - now)) / (1 - state.product), behind = (rate * next) / (1 - state.product * next);
  for (let k = 0; k < P.length; k++) {
    mean[k] = beta1 * mean[k] + (1 - beta1) * G[k];
    square[k] = beta2 * square[k] + (1 - beta2) * G[k] * G[k];
    P[k] -= (ahead * G[k] + behind * mean[k]) / (Math.sqrt(square[k] / (1 - beta2 ** step)) + epsilon);
  }
}

function lion(P, G, { mean }, { rate, beta1 = 0.9, beta2 = 0.999 }) {
  for (let k = 0; k < P.length; k++) {
    P[k] -= rate * Math.sign(beta1 * mean[k] + (1 - beta1) * G[k]);
    mean[k] = beta2 * mean[k] + (1 - beta2) * G[k];
  }
}

/** Steps from a base, taken where base and average meet; both begin where the parameters do. */
function scheduleFree(P, G, state, { rate, epsilon, beta1 = 0.9, beta2 = 0.999 }, step) {
  const { square } = state, base = (state.base ??= Float64Array.from(P)), average = (state.average ??= Float64Array.from(P));
  state.largest = Math.max(state.largest ?? 0, rate);
  state.sum = (state.sum ?? 0) + state.largest ** 2;
  const share = state.largest ** 2 / state.sum;
  for (let k = 0; k < P.length; k++) {
    square[k] = beta2 * square[k] + (1 - beta2) * G[k] * G[k];
    base[k] -= (rate * G[k]) / (Math.sqrt(square[k] / (1 - beta2 ** step)) + epsilon);
    average[k] += share * (base[k] - average[k]);
    P[k] = (1 - beta1) * base[k] + beta1 * average[k];
  }
}

/**
 * Rules by name, as `luthier.optimise.RULES` has them, with the epsilon and rho that are used where none is given.
 * One that `orthogonalises` is for what is left when hidden layers' weights have moved by `muon`.
 */
export const RULES = {
  sgd: { init: zeros("velocity"), update: byVelocity((v) => v) },
  nesterov: { init: zeros("velocity"), update: byVelocity((v, g, momentum) => g + momentum * v) },
  "nesterov-velocity": { init: zeros("velocity"), update: nesterovVelocity },
  adagrad: { init: zeros("square"), update: adagrad, epsilon: 1e-10 },
  rmsprop: { init: zeros("square"), update: rmsprop, epsilon: 1e-8, rho: 0.99 },
  adam: { init: zeros("mean", "square"), update: byMoments(true), epsilon: 1e-8 },
  "adam-uncorrected": { init: zeros("mean", "square"), update: byMoments(false), epsilon: 1e-8 },
  adadelta: { init: zeros("square", "change"), update: adadelta, epsilon: 1e-6, rho: 0.9 },
  adamax: { init: zeros("mean", "largest"), update: adamax, epsilon: 1e-8 },
  nadam: { init: zeros("mean", "square"), update: nadam, epsilon: 1e-8 },
  lion: { init: zeros("mean"), update: lion },
  "schedule-free": { init: zeros("square"), update: scheduleFree, epsilon: 1e-8 },
  muon: { init: zeros("mean", "square"), update: byMoments(true), epsilon: 1e-8, orthogonalises: true },
};

/** A rule at work on one flat row: `step(G, rate)` moves P. Options: momentum, beta1, beta2, rho, epsilon. */
export function descent(name, P, options = {}) {
  const { init, update, epsilon, rho } = RULES[name], state = init(P.length), hyper = { epsilon, rho, ...options };
  let count = 0;
  return { step: (G, rate) => update(P, G, state, { ...hyper, rate }, ++count) };
}

/** The path of a rule down a gradient function, from a start: an array of points, the start first. */
export function pathOf(name, slope, start, steps, { rate, ...options }) {
  const P = Float64Array.from(start), rule = descent(name, P, options), path = [Array.from(P)];
  for (let k = 0; k < steps; k++) {
    rule.step(slope(P), rate);
    path.push(Array.from(P));
  }
  return path;
}
