// @ts-check
/** Keep: a gallery saved with the run, files, a link, and the command line that does the same. */

import { button, fill, h } from "../dom.js";
import { draggable } from "../drag.js";
import { exporter } from "../exports.js";
import { copy } from "../tools.js";
import { describe, describeEdits, edited } from "../words.js";

/** @typedef {import("../types.js").Args} Args */
/** @typedef {{id: string, title: string, args: Args, time: number}} Keepsake */

export const id = "keep";
export const title = "Keep";
export const icon = "keep";
export const key = "k";
export const hint = "Keep what you like with the run, or take it away as a file, a link or a command.";

const WAIT = 250; // ms after the last change before the command is asked for
const FRAMES = 24;

/** @param {import("../types.js").Session} _ */
export const available = (_) => true;

/** @param {HTMLElement} element @param {import("../types.js").Studio} studio */
export function mount(element, studio) {
  const { args } = studio;
  const name = h("input", { type: "text", class: "grow", placeholder: "Name it (if you like)", "aria-label": "Name of the picture", maxLength: 120 });
  const grid = h("div", { class: "gallery" });
  const none = h("p", { class: "empty" }, "Nothing kept yet. What you keep here stays with the run.");
  const form = h(
    "form",
    { class: "row", on: { submit: keep } },
    name,
    button({ icon: "keep", label: "Keep it", kind: "primary" }),
  );
  /** @type {HTMLButtonElement} */ (form.querySelector("button")).type = "submit";
  const command = codeLine("The command line that does the same", studio);
  const link = codeLine("A link to this picture", studio);
  const moving = exporter(studio, { label: "From the original to here", kinds: ["gif", "webp", "mp4"], name: "edit", frames });
  fill(
    element,
    form,
    grid,
    none,
    h(
      "section",
      { class: "stack" },
      exporter(studio, { label: "Save this as", kinds: ["png", "latents"], name: "picture", args: args.get.bind(args) }),
      moving,
      command.element,
      link.element,
    ),
  );

  let timer = 0;
  args.subscribe((_, why) => why !== "preview" && changed());
  changed();
  load();

  function changed() {
    moving.hidden = !edited(args.get());
    link.set(args.link());
    clearTimeout(timer);
    timer = window.setTimeout(ask, WAIT);
  }

  async function ask() {
    try {
      const answer = await studio.api("export", { body: { args: args.get(), kind: "command" } });
      command.set(answer.command);
    } catch (error) {
      command.set("", /** @type {Error} */ (error).message);
    }
  }

  /** The edits, growing from nothing. @returns {Args[]} */
  function frames() {
    const end = args.get();
    const scaled = (/** @type {Record<string, number>} */ record, /** @type {number} */ by) =>
      Object.fromEntries(Object.entries(record).map(([what, value]) => [what, value * by]));
    return Array.from({ length: FRAMES }, (_, k) => {
      const share = k / (FRAMES - 1);
      return { ...end, moves: scaled(end.moves, share), dims: scaled(end.dims, share) };
    });
  }

  /** @param {SubmitEvent} event */
  async function keep(event) {
    event.preventDefault();
    const state = args.get();
    try {
      const words = name.value.trim() || [describe(state.base), describeEdits(state)].filter(Boolean).join(", ");
      await studio.api("gallery", { body: { args: state, title: words } });
      name.value = "";
      studio.say("Kept.");
      await load();
    } catch (error) {
      studio.toast(/** @type {Error} */ (error).message, { kind: "error" });
    }
  }

  async function load() {
    /** @type {Keepsake[]} */
    let kept = [];
    try {
      kept = await studio.api("gallery");
    } catch (error) {
      studio.toast(/** @type {Error} */ (error).message, { kind: "error" });
    }
    none.hidden = kept.length > 0;
    grid.hidden = kept.length === 0;
    fill(grid, kept.map(keepsake));
  }

  /** @param {Keepsake} entry */
  function keepsake(entry) {
    const tile = h(
      "button",
      { type: "button", class: "tile", title: entry.title, on: { click: () => args.set(entry.args) } },
      h("img", { class: "thumb", src: studio.url(`gallery/${entry.id}/thumbnail`), alt: "" }),
      h("span", null, entry.title),
    );
    draggable(tile, () => entry.args);
    const away = button({ icon: "trash", kind: "quiet", title: `Remove ${entry.title}`, onClick: remove });

    async function remove() {
      try {
        await studio.api(`gallery/${entry.id}`, { method: "DELETE" });
        await load();
      } catch (error) {
        studio.toast(/** @type {Error} */ (error).message, { kind: "error" });
      }
    }
    return h("div", { class: "keepsake" }, tile, away);
  }

  return { shown: load };
}

/** A line of code with a button that copies it. @param {string} label
 * @param {import("../types.js").Studio} studio */
function codeLine(label, studio) {
  const code = h("code", { "aria-label": label });
  const copier = button({ icon: "copy", kind: "quiet", title: `Copy: ${label.toLowerCase()}`, onClick: () => copy(code.textContent ?? "", "Copied.", studio) });
  const element = h("div", { class: "field" }, h("span", { class: "muted small" }, label), h("div", { class: "code" }, code, copier));
  return {
    element,
    /** @param {string} text @param {string} [note] why there is none */
    set(text, note) {
      code.textContent = text || note || "";
      copier.disabled = text === "";
    },
  };
}
