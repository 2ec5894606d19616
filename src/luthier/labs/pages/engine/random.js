// Streams of chance: the same seed and purpose give the same numbers in every browser.

/** A stream of its own for a seed and a purpose (both whole numbers): `uniform()` in [0, 1), `normal()`, `below(n)`. */
export function stream(seed, purpose = 0) {
  let a = 0x9e3779b9 ^ seed, b = 0x243f6a88 ^ purpose, c = 0xb7e15162, counter = 1, spare = null; // sfc32
  const bits = () => {
    const t = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return t >>> 0;
  };
  for (let k = 0; k < 15; k++) bits(); // near seeds give far streams only after some rounds
  const uniform = () => bits() / 4294967296;
  const normal = () => { // Box and Muller, two at a time
    if (spare !== null) {
      const kept = spare;
      spare = null;
      return kept;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - uniform())), angle = 2 * Math.PI * uniform();
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
  return { uniform, normal, below: (n) => Math.floor(n * uniform()) };
}

/** The numbers 0 to n - 1 in a random order. */
export function shuffled(n, random) {
  const order = Array.from({ length: n }, (_, k) => k);
  for (let k = n - 1; k > 0; k--) {
    const other = random.below(k + 1);
    [order[k], order[other]] = [order[other], order[k]];
  }
  return order;
}
