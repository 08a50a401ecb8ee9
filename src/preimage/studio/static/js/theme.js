// @ts-check
/** Light or dark: the system's choice until a person makes one, which this browser remembers. */

const KEY = "preimage-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

/** @type {Set<() => void>} */
const listeners = new Set();

/** @returns {"light" | "dark"} */
export function theme() {
  const chosen = remembered();
  return chosen ?? (dark.matches ? "dark" : "light");
}

/** @returns {"light" | "dark" | null} */
function remembered() {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : null;
  } catch {
    return null; // storage may be closed to us; the system's choice then
  }
}

function apply() {
  document.documentElement.dataset.theme = theme();
  for (const listener of listeners) listener();
}

export function toggleTheme() {
  const next = theme() === "dark" ? "light" : "dark";
  try {
    localStorage.setItem(KEY, next);
  } catch {
    document.documentElement.dataset.theme = next;
  }
  apply();
}

/** @param {() => void} listener */
export function onTheme(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

dark.addEventListener("change", apply);
apply();
