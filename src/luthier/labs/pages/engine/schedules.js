// Schedules: what a base rate is multiplied with at each step, from 0.

const CYCLE_START = 1 / 25, CYCLE_RISE = 0.3, CYCLE_FALL = 1e4; // of one cycle (Smith, 2018)

const halfCosine = (share) => 0.5 * (1 + Math.cos(Math.PI * Math.min(1, share)));

function roundedToEven(x) {
  const below = Math.floor(x);
  return x - below === 0.5 ? below + (below % 2) : Math.round(x);
}

function oneCycle(t, total) {
  const top = CYCLE_RISE * total - 1;
  if (t <= top) return 1 + (CYCLE_START - 1) * halfCosine(t / top);
  const end = CYCLE_START / CYCLE_FALL;
  return end + (1 - end) * halfCosine((t - top) / Math.max(1, total - 1 - top));
}

function restarted(t, period, multiplier) {
  let length = period;
  while (t >= length) {
    t -= roundedToEven(length);
    length = Math.max(1, length * multiplier);
  }
  return halfCosine(t / length);
}

/** Kinds of schedules, each a function of the step after the warm-up, the steps in all, and the schedule. */
export const SCHEDULES = {
  constant: () => 1,
  cosine: (t, total) => halfCosine(t / total),
  restarts: (t, total, { period, multiplier }) => restarted(t, period, multiplier),
  exponential: (t, total, { decay, period }) => decay ** (t / period),
  staircase: (t, total, { decay, period }) => decay ** Math.floor(t / period),
  inverse: (t, total, { decay, period }) => 1 / (1 + (decay * t) / period),
  linear: (t, total) => Math.max(0, 1 - t / total),
  "one-cycle": oneCycle,
  coslog4: (t, total) => 0.5 * (1 - Math.cos(2 * Math.PI * Math.log2(1 + 15 * Math.min(1, t / total)))),
  "flat-cosine": (t, total) => halfCosine(Math.max(0, 2 * (t / total) - 1)),
  "stable-decay": (t, total, { decay }) => Math.min(1, Math.max(0, 1 - t / total) / decay),
  plateau: () => 1, // not foreseen: `plateau` below follows the losses
};

/** The factor at a step of a training of `total` steps. */
export function factor(schedule, step, total) {
  const { kind = "constant", warmup = 0, period = 1, multiplier = 1, decay = 0.1 } = schedule;
  if (step < warmup) return (step + 1) / warmup;
  return SCHEDULES[kind](step - warmup, Math.max(1, total - warmup), { period, multiplier, decay });
}

/** The rate's factor after each evaluated loss: times `decay` after `period` ones without a lower loss. */
export function plateau({ decay, period }) {
  let best = Infinity, waited = 0, now = 1;
  return (loss) => {
    waited = loss < best ? 0 : waited + 1;
    best = Math.min(best, loss);
    if (waited >= period) [now, waited] = [now * decay, 0];
    return now;
  };
}
