// @ts-check
/** "The next picture you point at is A": a question that the map, the view or Escape answers. */

import { button, fill, h } from "./dom.js";
import { received } from "./drag.js";
import { toast } from "./toast.js";
import { describe } from "./words.js";

/** @typedef {import("./types.js").Base} Base */

export class Picker {
  /** @param {HTMLElement} place where the question stands @param {() => Base} shown
   * @param {(message: string) => void} say */
  constructor(place, shown, say) {
    this.place = place;
    this.shown = shown;
    this.say = say;
    /** @type {((base: Base | null) => void) | null} */
    this.resolve = null;
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.resolve) {
        event.preventDefault();
        this.answer(null);
      }
    });
  }

  get active() {
    return this.resolve !== null;
  }

  /** @param {{title: string}} request @returns {Promise<Base | null>} null when it was given up */
  ask({ title }) {
    this.answer(null);
    const file = h("input", { type: "file", accept: "image/*", hidden: true });
    file.addEventListener("change", async () => {
      const chosen = file.files?.[0];
      if (!chosen) return;
      try {
        this.answer(await received(chosen));
      } catch (error) {
        toast(/** @type {Error} */ (error).message, { kind: "error" });
      }
    });
    this.say(`${title}: point at the map, or press Escape.`);
    fill(
      this.place,
      h(
        "div",
        { class: "asking" },
        h("p", null, h("strong", null, title), " — click a point of the map, or:"),
        h(
          "div",
          { class: "row" },
          button({ label: "The picture shown", icon: "eye", onClick: () => this.answer(this.shown()) }),
          button({
            label: "A random one",
            icon: "dice",
            onClick: () => this.answer({ kind: "sample", seed: Math.floor(Math.random() * 1e6) }),
          }),
          button({ label: "A file…", icon: "upload", onClick: () => file.click() }),
          file,
          button({ label: "Cancel", kind: "quiet", onClick: () => this.answer(null) }),
        ),
      ),
    );
    document.documentElement.classList.add("picking");
    return new Promise((resolve) => (this.resolve = resolve));
  }

  /** @param {Base | null} base */
  answer(base) {
    const { resolve } = this;
    if (!resolve) return;
    this.resolve = null;
    fill(this.place);
    document.documentElement.classList.remove("picking");
    if (base) this.say(`${describe(base)} chosen.`);
    resolve(base);
  }
}
