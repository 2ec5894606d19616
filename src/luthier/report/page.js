"use strict";
// Draw every figure from the data beside it, and recolour when the reader switches between light and dark.
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const ink = () => getComputedStyle(document.documentElement).getPropertyValue("--text").trim();
const figures = [...document.querySelectorAll("figure[id^=figure-]")];
for (const place of figures) {
  const content = JSON.parse(place.querySelector("script").textContent);
  content.layout.font = { ...content.layout.font, color: ink() };
  Plotly.newPlot(place, content.data, content.layout, JSON.parse(place.dataset.config));
}
const recolour = () => figures.forEach((place) => Plotly.relayout(place, { "font.color": ink() }));
dark.addEventListener("change", recolour);
window.addEventListener("beforeprint", () => figures.forEach((place) => Plotly.Plots.resize(place)));
