// The reader's language and theme: the browser's at first, then what the reader chose.

const kept = {
  get: (name) => {
    try {
      return localStorage.getItem(`luthier-${name}`);
    } catch {
      return null; // a browser may refuse to keep anything for a file
    }
  },
  set: (name, value) => {
    try {
      localStorage.setItem(`luthier-${name}`, value);
    } catch {
      /* then it is not kept */
    }
  },
};

/** Set both, and let their buttons switch them. */
export function languageAndTheme() {
  const root = document.documentElement, titles = JSON.parse(root.dataset.titles);
  const speak = (language) => {
    root.lang = language;
    document.title = titles[language];
  };
  speak(kept.get("language") ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en"));
  document.getElementById("language").addEventListener("click", () => {
    speak(root.lang === "en" ? "zh" : "en");
    kept.set("language", root.lang);
  });
  const paint = (theme) => {
    root.style.colorScheme = theme ?? "light dark";
  };
  paint(kept.get("theme"));
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.style.colorScheme === "dark" || (root.style.colorScheme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
    paint(dark ? "light" : "dark");
    kept.set("theme", dark ? "light" : "dark");
  });
}
