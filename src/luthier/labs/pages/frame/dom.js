// Elements with words in both languages; the page's style shows those of its `lang`.

const DRAWN = "http://www.w3.org/2000/svg";

/** A text in both languages, as [English, Chinese]; a plain string is the same in both. */
export function isPair(value) {
  return Array.isArray(value) && value.length === 2 && value.every((part) => typeof part === "string");
}

/** Nodes of a text: two spans of which one is seen, or one text node. */
export function spoken(text, make = element) {
  if (!isPair(text)) return [document.createTextNode(String(text))];
  return [make("span", { lang: "en" }, text[0]), make("span", { lang: "zh" }, text[1])];
}

function filled(node, properties, children, make) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  for (const child of children) node.append(...(child instanceof Node ? [child] : spoken(child, make)));
  return node;
}

/** An HTML element; properties that begin with "on" are listeners, children are nodes or texts. */
export function element(tag, properties, ...children) {
  return filled(document.createElement(tag), properties, children, element);
}

/** An SVG element. */
export function drawn(tag, properties, ...children) {
  return filled(document.createElementNS(DRAWN, tag), properties, children, (_, p, text) => drawn("tspan", p, text));
}

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** A number as people read it: so many significant digits, no needless zeros, powers of ten where it is far from 1 or `powered`. */
export function written(value, digits = 3, powered = false) {
  if (typeof value !== "number") return String(value);
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value), far = powered || size >= 1e6 || size < 1e-4;
  return (far ? power(value, digits) : plain(value, digits)).replaceAll("-", "−");
}

/** As a factor and a power of ten; a factor of 1 is left out. */
function power(value, digits) {
  const [factor, exponent] = value.toExponential(digits - 1).split("e"), whole = Number(factor);
  const raised = `10${exponent.startsWith("-") ? "⁻" : ""}${[...exponent.slice(1)].map((d) => SUPERSCRIPTS[d]).join("")}`;
  return Math.abs(whole) === 1 ? raised.replace(/^/, whole < 0 ? "-" : "") : `${whole}×${raised}`;
}

function plain(value, digits) {
  if (Number.isInteger(value)) return String(value);
  const whole = Math.floor(Math.log10(Math.abs(value))) + 1;
  return value.toFixed(Math.max(0, digits - whole)).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
}

/** A share as per cent. */
export function percent(share, digits = 1) {
  return `${(100 * share).toFixed(digits)} %`;
}
