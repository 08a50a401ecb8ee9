// @ts-check
/** What the colours of the map mean. A kind can be clicked: only the chosen ones stay lit. */

import { fill, h } from "../dom.js";
import { number } from "../words.js";
import { amounts, kindColour } from "./colours.js";

const MOST = 24; // kinds listed

/**
 * @param {HTMLElement} place
 * @param {(kinds: Set<number>) => void} chosen which kinds are to be lit; empty for all
 */
export function openLegend(place, chosen) {
  /** @type {Set<number>} */
  const kinds = new Set();

  /** @param {import("./colours.js").Column | null} column @param {"light" | "dark"} theme
   * @param {boolean} [fresh] whether the column is another one */
  return function show(column, theme, fresh = false) {
    if (fresh) kinds.clear();
    place.hidden = !column;
    if (column?.kind === "category") {
      const names = (column.categories ?? []).slice(0, MOST);
      const rest = (column.categories ?? []).length - names.length;
      fill(
        place,
        names.map((name, kind) => entry(name, kind, theme)),
        rest > 0 ? h("span", { class: "muted small" }, `and ${rest} more`) : null,
      );
    } else if (column) fill(place, scale(column, theme));
  };

  /** @param {string} name @param {number} kind @param {"light" | "dark"} theme */
  function entry(name, kind, theme) {
    const mark = h("i", { class: "kind-disc", "aria-hidden": "true" });
    mark.style.background = kindColour(theme, kind);
    const element = h(
      "button",
      {
        type: "button",
        class: "kind",
        "aria-pressed": String(kinds.has(kind)),
        title: "Show only these",
        on: { click: flip },
      },
      mark,
      h("span", null, name),
    );

    function flip() {
      if (!kinds.delete(kind)) kinds.add(kind);
      element.setAttribute("aria-pressed", String(kinds.has(kind)));
      chosen(kinds);
    }
    return element;
  }

  /** @param {import("./colours.js").Column} column @param {"light" | "dark"} theme */
  function scale(column, theme) {
    const bar = h("span", { class: "amounts", "aria-hidden": "true" });
    bar.style.background = `linear-gradient(90deg, ${amounts(theme).join(", ")})`;
    return h(
      "p",
      { class: "amount-scale" },
      h("span", null, number(column.low ?? 0)),
      bar,
      h("span", null, number(column.high ?? 1)),
      h("span", { class: "unseen" }, `Colour is ${column.name}, from low to high.`),
    );
  }
}
