// Light or dark: as the system, until the switch says otherwise.

const root = document.documentElement;

function isDark() {
  const chosen = root.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

export function switchTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)").matches;
  const dark = !isDark();
  if (dark === system) delete root.dataset.theme;
  else root.dataset.theme = dark ? "dark" : "light";
  try {
    localStorage.setItem("theme", root.dataset.theme || "");
  } catch { /* the browser keeps nothing: the system's is taken next time */ }
}

try {
  const kept = localStorage.getItem("theme");
  if (kept) root.dataset.theme = kept;
} catch { /* as above */ }
