// Controls of a page: sliders, choices, presets; their values are the page's state, and stand in its link.

import { element, written } from "./dom.js";

/** A slider; with `log` its value is ten to the power of where it stands. */
export function slider(name, label, low, high, step, start, more = {}) {
  return { kind: "slider", name, label, low, high, step, start, ...more };
}

/** One of a few options, [[value, label], ...]. */
export function choice(name, label, options, start) {
  return { kind: "choice", name, label, options, start };
}

/** Values of all controls at their start. */
export function startingValues(controls) {
  return Object.fromEntries(controls.map(({ name, start }) => [name, start]));
}

/** The values that a link carries; what it lacks, or what is not a value of a control, starts as it is. */
export function fromLink(controls, link) {
  const given = new URLSearchParams(link.replace(/^#/, "")), values = startingValues(controls);
  for (const control of controls) {
    const text = given.get(control.name);
    if (text === null) continue;
    if (control.kind === "choice") {
      if (control.options.some(([value]) => value === text)) values[control.name] = text;
    } else if (text.trim() && Number.isFinite(Number(text))) {
      values[control.name] = Math.min(control.high, Math.max(control.low, Number(text)));
    }
  }
  return values;
}

/** What the controls stand for: of a slider with `log`, ten to the power of where it is. */
export function meant(controls, values) {
  return Object.fromEntries(controls.map(({ name, log }) => [name, log ? 10 ** values[name] : values[name]]));
}

/** The link that carries values. */
export function asLink(values) {
  return `#${new URLSearchParams(Object.entries(values).map(([name, value]) => [name, String(value)]))}`;
}

/** A slider's value as people read it. */
function shown(control, value) {
  const text = control.log ? written(10 ** value, 2) : written(value, control.digits ?? 4);
  return control.unit ? `${text} ${control.unit}` : text;
}

function sliderRow(control, values, changed) {
  const output = element("output", { for: `c-${control.name}` });
  const input = element("input", {
    type: "range", id: `c-${control.name}`, min: control.low, max: control.high, step: control.step, value: values[control.name],
    oninput: () => changed(control.name, Number(input.value)),
  });
  const set = (value) => {
    input.value = value;
    output.textContent = shown(control, value);
    input.setAttribute("aria-valuetext", output.textContent);
  };
  set(values[control.name]);
  return { node: element("div", { class: "control" }, element("label", { for: `c-${control.name}` }, control.label), output, input), set };
}

function choiceRow(control, values, changed) {
  const inputs = control.options.map(([value]) => element("input", {
    type: "radio", name: `c-${control.name}`, value, id: `c-${control.name}-${value}`,
    onchange: () => changed(control.name, value),
  }));
  const set = (value) => inputs.forEach((input) => (input.checked = input.value === value));
  set(values[control.name]);
  const options = control.options.map(([, label], k) => element("label", {}, inputs[k], element("span", {}, label)));
  return { node: element("fieldset", { class: "control choice" }, element("legend", {}, control.label), element("div", {}, ...options)), set };
}

/** The controls as elements; `changed(name, value)` is called when a reader moves one, `set(values)` moves them all. */
export function controlPanel(controls, values, changed) {
  const rows = controls.map((control) => (control.kind === "slider" ? sliderRow : choiceRow)(control, values, changed));
  return { nodes: rows.map((row) => row.node), set: (all) => rows.forEach((row, k) => row.set(all[controls[k].name])) };
}
