// What the suite sees of an opened page.

const all = (selector) => [...document.querySelectorAll(selector)];
return {
  numbers: Object.fromEntries(all("[data-key]").map((cell) => [cell.dataset.key, cell.dataset.value])),
  pairs: all("body [lang=en]").map((english) => [english.textContent, english.nextElementSibling?.textContent ?? ""]),
  width: document.documentElement.scrollWidth,
  unnamed: all("input, svg").filter((one) => !one.labels?.length && !one.hasAttribute("aria-labelledby")).length,
  links: all(".further a").map((one) => one.getAttribute("href")),
  verdict: document.getElementById("verdict").textContent,
  figures: document.getElementById("figures").innerHTML,
  controls: all("#controls input").map((one) => (one.type === "radio" ? one.checked : one.value)),
};
