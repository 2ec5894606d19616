"use strict";
// Unpack the figures' library, draw every figure from the data beside it, and recolour when the reader switches between
// light and dark.
const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;,=>?@^_`{|}~";
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const ink = () => getComputedStyle(document.documentElement).getPropertyValue("--text").trim();
// The figures' blues are hard to see on black: there each is a lighter one.
const LIGHTER = [["#56B4E9", "#B9E2FA"], ["#0072B2", "#56B4E9"], ["rgba(0,114,178,", "rgba(86,180,233,"]];
const tinted = (text) =>
  dark.matches ? LIGHTER.reduce((result, [blue, lighter]) => result.replaceAll(blue, lighter), text) : text;
const figures = [...document.querySelectorAll("figure[id^=figure-]")];

// Five digits to the base of 85 are four bytes; the last may be padding.
function bytes(text, size) {
  const values = new Uint8Array(128);
  [...DIGITS].forEach((digit, value) => (values[digit.charCodeAt(0)] = value));
  const view = new DataView(new ArrayBuffer((text.length / 5) * 4));
  for (let place = 0; place < text.length; place += 5) {
    let word = 0;
    for (let k = 0; k < 5; k++) word = word * 85 + values[text.charCodeAt(place + k)];
    view.setUint32((place / 5) * 4, word);
  }
  return new Uint8Array(view.buffer, 0, size);
}

async function load() {
  const packed = document.getElementById("plotly");
  const stream = new Blob([bytes(packed.textContent, Number(packed.dataset.size))]).stream();
  const script = document.createElement("script");
  script.textContent = await new Response(stream.pipeThrough(new DecompressionStream("gzip"))).text();
  document.head.append(script);
  packed.remove();
}

async function draw() {
  if (!figures.length) return;
  await load();
  const texts = figures.map((place) => place.querySelector("script").textContent);
  const show = (plot) =>
    figures.forEach((place, number) => {
      const content = JSON.parse(tinted(texts[number]));
      content.layout.font = { ...content.layout.font, color: ink() };
      plot(place, content.data, content.layout, JSON.parse(place.dataset.config));
    });
  show(Plotly.newPlot);
  dark.addEventListener("change", () => show(Plotly.react));
  window.addEventListener("beforeprint", () => figures.forEach((place) => Plotly.Plots.resize(place)));
}

const drawn = draw();
