// @ts-check
/** A place for one picture: dropped on it, chosen on the map, or a file. */

import { fill, h } from "./dom.js";
import { draggable, dropzone } from "./drag.js";
import { pictureOf, plain } from "./pictures.js";
import { describe } from "./words.js";

/** @typedef {import("./types.js").Base} Base */

/**
 * @param {string} letter
 * @param {import("./types.js").Studio} studio
 * @param {(base: Base) => void} changed by a person
 */
export function slot(letter, studio, changed) {
  /** @type {Base | null} */
  let held = null;
  const element = h("button", { type: "button", class: "slot", on: { click: choose } });
  draggable(element, () => held);
  dropzone(element, take, { files: true });
  show();

  async function choose() {
    const base = await studio.pick({ title: `Picture ${letter}` });
    if (base) take(base);
    if (base) studio.go("blend");
    element.focus();
  }

  /** @param {Base} base */
  function take(base) {
    set(base);
    changed(base);
  }

  function show() {
    element.classList.toggle("filled", held !== null);
    const what = held ? describe(held) : "empty";
    element.setAttribute("aria-label", `Picture ${letter}: ${what}. Choose another`);
    element.title = held ? `${what}: click to choose another` : "";
    fill(
      element,
      held ? pictureOf(plain(held, studio.args.get()), "") : h("span", { class: "invite" }, "Drop or choose"),
      h("span", { class: "letter", "aria-hidden": "true" }, letter),
    );
  }

  /** @param {Base | null} base */
  function set(base) {
    if (JSON.stringify(base) === JSON.stringify(held)) return;
    held = base;
    show();
  }

  return { element, set, get: () => held };
}
