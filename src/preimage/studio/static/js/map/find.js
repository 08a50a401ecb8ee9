// @ts-check
/** Search over names and labels: what is found stays lit, the rest steps back. */

import { h } from "../dom.js";
import { icon } from "../icons.js";

const WAIT = 160; // ms after the last letter

/** @param {import("../types.js").Studio} studio
 * @param {(indices: number[] | null) => void} found null when nothing is asked for */
export function openFind(studio, found) {
  const input = h("input", {
    type: "search",
    placeholder: "Search names and labels",
    "aria-label": "Search names and labels",
    autocomplete: "off",
    spellcheck: false,
  });
  const count = h("span", { class: "count", role: "status" });
  const element = h("div", { class: "find" }, icon("search"), input, count);
  let timer = 0;
  let asked = 0;

  async function ask() {
    const text = input.value.trim();
    const turn = ++asked;
    if (!text) {
      count.textContent = "";
      found(null);
      return;
    }
    try {
      const { indices, total } = await studio.api(`map/find?q=${encodeURIComponent(text)}`);
      if (turn !== asked) return;
      count.textContent = total === 0 ? "none" : String(total);
      found(indices);
    } catch (error) {
      if (turn === asked) studio.toast(/** @type {Error} */ (error).message, { kind: "error" });
    }
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = window.setTimeout(ask, WAIT);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    input.value = "";
    ask();
    input.blur();
  });
  return { element, focus: () => input.focus() };
}
