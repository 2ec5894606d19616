// What the suite asks of the pages' engine, as plain arrays.

const begun = ({ P, ...more }) => {
  const net = createNetwork({ sizes: [3, 4, 2], ...more });
  net.parameters.set(P);
  return net;
};

window.engine = {
  trained({ X, Y, P, ...settings }) {
    const net = begun({ P, output: settings.cost === "log-likelihood" ? "softmax" : "sigmoid" });
    const walk = training(net, fromRows(X), fromRows(Y), { momentum: 0.9, ...settings });
    for (let k = 0; k < 100; k++) walk.epoch();
    return Array.from(net.parameters);
  },
  curve: (schedule, total) => Array.from({ length: total }, (_, k) => factor(schedule, k, total)),
  normalised({ Z, D, scale, shift }) {
    const found = normalise(fromRows(Z), scale, shift), back = normaliseBackward(fromRows(D), found, scale);
    return [toRows(found.out), toRows(back.byInput), Array.from(back.byScale), Array.from(back.byShift)];
  },
  dropped({ P, X, Y, masks }) {
    const net = begun({ P }), pass = forward(net, fromRows(X), { training: true, masks: [fromRows(masks)] });
    return Array.from(backward(net, pass, fromRows(Y), "cross-entropy").flat);
  },
};
