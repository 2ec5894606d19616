// A page at work: a prediction first, then controls, figures that follow them, and numbers beside the document's.

import { chart, legend } from "./chart.js";
import { asLink, controlPanel, fromLink, meant, startingValues } from "./controls.js";
import { diagram } from "./diagram.js";
import { element, spoken, written } from "./dom.js";
import { languageAndTheme } from "./preferences.js";

const SLICE = 14; // ms of work between two looks at the screen
const byId = (id) => document.getElementById(id);

/**
 * Start a page: { controls, presets, play, view, numbers }. `view(values)` yields { message, figures, table } as often as
 * there is more to show, given what the controls stand for; `numbers()` yields { key: value } for the table.
 */
export function start(page) {
  languageAndTheme();
  const values = fromLink(page.controls, location.hash);
  const state = document.body.dataset; // what is going on, for who watches the page from outside
  const redraw = () => {
    delete state.shown;
    delete state.settled;
    drawing.begin(page.view(meant(page.controls, values)));
  };
  const drawing = inSlices((view) => {
    show(view);
    state.shown = "yes";
    if (!performance.getEntriesByName("first-answer").length) performance.mark("first-answer");
  }, () => (state.settled = "yes"));
  const moved = (name, value) => {
    values[name] = value;
    history.replaceState(null, "", asLink(values));
    redraw();
  };
  const panel = controlPanel(page.controls, values, (name, value) => {
    stopPlaying();
    moved(name, value);
  });
  const setAll = (given) => {
    Object.assign(values, given);
    panel.set(values);
    history.replaceState(null, "", asLink(values));
    redraw();
  };
  const { nodes, stop: stopPlaying } = buttons(page, values, setAll);
  byId("controls").append(...panel.nodes, ...nodes);
  fillNumbers(page);
  askFirst(location.hash.length > 1, redraw);
  addEventListener("hashchange", () => setAll(fromLink(page.controls, location.hash)));
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== width) requestAnimationFrame(redraw);
    width = innerWidth;
  });
}

/** Work that yields, a slice at a time, and not while it `waits`; beginning anew drops what was under way. */
function inSlices(each, done, waits = () => false) {
  let turn = 0;
  return {
    begin(work) {
      const mine = ++turn;
      const go = () => {
        if (mine !== turn) return;
        if (waits()) return void setTimeout(go, SLICE);
        const until = performance.now() + SLICE;
        let latest = null;
        while (performance.now() < until) {
          const { value, done: over } = work.next();
          if (value) latest = value;
          if (over) {
            if (latest) each(latest);
            return done();
          }
        }
        if (latest) each(latest);
        setTimeout(go);
      };
      go();
    },
  };
}

function show({ figures = [], message, table }) {
  const place = byId("figures");
  const room = Math.max(280, place.clientWidth || byId("bench").clientWidth); // on a telephone the bench is its figures' box
  place.replaceChildren(...figures.map((figure, k) => drawFigure(figure, k, room)), ...(table ? [drawTable(table)] : []));
  const said = byId("message");
  if (!message || said.dataset.said === String(message)) return; // a screen reader hears what is new
  said.dataset.said = String(message);
  said.replaceChildren(element("span", {}, message));
}

function drawFigure(figure, k, room) {
  const width = figure.square ? Math.min(room, 560) : room;
  const picture = figure.layers[0]?.kind ? chart(figure, width) : diagram(figure, width);
  picture.setAttribute("aria-labelledby", `figure-${k}`);
  if (k === 0) picture.setAttribute("aria-describedby", "message"); // which says in words what is drawn
  const lost = figure.lost ? [element("small", {}, ["the document's lost figure, drawn again", "文档中丢失的图，重新画出"])] : [];
  const caption = element("figcaption", { id: `figure-${k}` }, element("span", {}, figure.title), ...lost);
  return element("figure", {}, caption, picture, ...[figure.layers[0]?.kind ? legend(figure) : null].filter(Boolean));
}

function drawTable({ head, rows }) {
  const cells = (tag, row) => element("tr", {}, ...row.map((cell) => element(tag, {}, typeof cell === "number" ? written(cell, 4) : cell)));
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-labelledby": "message" }, element("table", {}, element("thead", {}, cells("th", head)), element("tbody", {}, ...rows.map((row) => cells("td", row)))));
}

/** Presets, playing one slider through, and back to the start. */
function buttons(page, values, setAll) {
  const preset = ({ name, values: given }) => element("button", { type: "button", onclick: () => { stop(); setAll(given); } }, name);
  const again = { name: ["Reset", "复位"], values: startingValues(page.controls) };
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    if (page.play) play.setAttribute("aria-pressed", "false");
    byId("message").setAttribute("aria-live", "polite");
  };
  const run = () => {
    if (timer !== null) return stop();
    const { name, low, high, step } = page.controls.find((control) => control.name === page.play);
    let at = values[name] >= high ? low : values[name];
    play.setAttribute("aria-pressed", "true");
    byId("message").setAttribute("aria-live", "off"); // too fast to be read aloud
    timer = setInterval(() => {
      at = Math.min(high, at + Math.max(step, (high - low) / 90));
      setAll({ [name]: step >= 1 ? Math.round(at) : at });
      if (at >= high) stop();
    }, 40);
    return undefined;
  };
  const play = page.play ? element("button", { type: "button", class: "play", "aria-pressed": "false", onclick: run }, ["Run / pause", "运行／暂停"]) : null;
  const row = element("div", { class: "buttons" }, ...[play, ...page.presets.map(preset), preset(again), linkButton()].filter(Boolean));
  return { nodes: [row], stop };
}

/** Copies the address, which carries the state; null where a browser does not let a page do so. */
function linkButton() {
  if (!navigator.clipboard) return null;
  const words = element("span", {}, ["Copy link", "复制链接"]), done = () => words.replaceChildren(element("span", {}, ["Copied", "已复制"]));
  return element("button", { type: "button", onclick: () => navigator.clipboard.writeText(location.href).then(done, () => {}) }, words);
}

/** The table's column that this page computes; in slices, and after the first figure where that is asked for. */
function fillNumbers(page) {
  const known = {};
  inSlices((numbers) => {
    Object.assign(known, numbers);
    for (const cell of document.querySelectorAll("[data-key]")) {
      if (!(cell.dataset.key in known)) continue;
      const value = (cell.dataset.value = known[cell.dataset.key]);
      cell.replaceChildren(...("yes" in cell.dataset ? spoken(value ? ["yes", "是"] : ["no", "否"]) : [written(value, Number(cell.dataset.digits))]));
    }
  }, () => (byId("numbers").dataset.done = "yes"), () => !byId("played").hidden && !document.body.dataset.shown).begin(page.numbers());
}

/** Nothing is drawn before the reader has said what it will be, or does not want to. */
function askFirst(answered, redraw) {
  const form = byId("question"), input = byId("guess"), text = byId("guess-value"), played = byId("played");
  const cell = document.querySelector(`[data-key="${form.dataset.answer}"]`), unit = form.dataset.unit ? ` ${form.dataset.unit}` : "";
  const reveal = () => {
    played.hidden = false;
    redraw();
  };
  const judge = () => {
    if (cell.dataset.value === undefined) return void setTimeout(judge, 50); // it is still being computed
    const guess = Number(input.value), right = Number(cell.dataset.value);
    const [a, b] = [guess, right].map((v) => written(v) + unit), gap = written(Math.abs(guess - right)), points = unit === " %" ? [" percentage points", " 个百分点"] : [unit, unit];
    byId("verdict").replaceChildren(element("span", {}, [`You said ${a}. It is ${b}: off by ${gap}${points[0]}.`, `你的预测是 ${a}，实际是 ${b}，相差 ${gap}${points[1]}。`]));
    byId("why").hidden = false;
  };
  input.addEventListener("input", () => (text.textContent = written(Number(input.value)) + unit));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    judge();
    if (played.hidden) reveal();
  });
  byId("skip").addEventListener("click", () => {
    byId("why").hidden = false;
    if (played.hidden) reveal();
  });
  if (answered) reveal();
}
