// @ts-check
/** Name a direction: two groups of examples, a word, and there is a slider of it. */

import { button, field, fill, h } from "../dom.js";
import { draggable, dropzone } from "../drag.js";
import { pictureOf, plain } from "../pictures.js";
import { describe } from "../words.js";

/** @typedef {import("../types.js").Base} Base */

export const id = "name";
export const title = "Name it";
export const icon = "tag";
export const key = "d";
export const hint = "Show what you mean by examples that have it and others that do not, name it, and move along it.";

const LEAST = 5;
const SHOWN = 12; // examples that are drawn; the others are counted

/** @param {import("../types.js").Session} session */
export const available = (session) => session.panels.name === true;

/** @param {HTMLElement} element @param {import("../types.js").Studio} studio */
export function mount(element, studio) {
  const has = group("Have it", studio, changed);
  const lacks = group("Do not", studio, changed);
  const word = h("input", { type: "text", maxLength: 100, placeholder: "smiling", autocomplete: "off", spellcheck: false });
  const complaint = h("p", { class: "error small", role: "alert", hidden: true });
  const done = h("p", { class: "finding good", role: "status", hidden: true });
  const make = button({ label: "Make the slider", icon: "sliders", kind: "primary" });
  make.type = "submit";
  const need = h("p", { class: "muted small" });
  const form = h("form", { class: "stack tight", on: { submit: learn } }, field("Its name", word), make, need, complaint, done);
  const saved = h("ul", { class: "plain-list" });
  const section = h("section", { class: "stack tight" }, h("h3", null, "Named so far"), saved);
  fill(element, has.element, lacks.element, form, section);
  studio.onSession(list);
  list();
  changed();

  function changed() {
    const lack = [has, lacks].map((side) => Math.max(0, LEAST - side.get().length));
    const words = lack.map((n, k) => (n ? `${n} more that ${k ? "do not" : "have it"}` : "")).filter(Boolean);
    need.textContent = words.length ? `Still needed: ${words.join(" and ")}.` : "";
    need.hidden = words.length === 0;
  }

  /** @param {SubmitEvent} event */
  async function learn(event) {
    event.preventDefault();
    complaint.hidden = done.hidden = true;
    make.disabled = true;
    try {
      if (!word.value.trim()) throw new Error("Give it a name.");
      if ([has, lacks].some((side) => side.get().length < LEAST)) throw new Error(`On each side at least ${LEAST} are needed.`);
      const body = { name: word.value.trim(), positive: has.get(), negative: lacks.get() };
      const made = await studio.api("directions", { body });
      await studio.refresh();
      const { value, low, high } = made.accuracy;
      const percent = (/** @type {number} */ share) => Math.round(100 * share);
      done.textContent = `“${made.name}” is a slider now. It tells unseen examples apart in ${percent(value)} of 100 cases (${percent(low)} to ${percent(high)}; 50 is chance).`;
      done.hidden = false;
      word.value = "";
    } catch (error) {
      complaint.textContent = /** @type {Error} */ (error).message;
      complaint.hidden = false;
    } finally {
      make.disabled = false;
    }
  }

  /** The saved directions, each with a way to be rid of it. */
  function list() {
    const named = studio.session.directions.filter((one) => one.kind === "named");
    section.hidden = named.length === 0;
    fill(
      saved,
      named.map((one) => {
        const reads = one.accuracy === undefined ? null : h("span", { class: "badge", title: "Told apart, of 100 unseen examples" }, `${Math.round(100 * one.accuracy)} %`);
        const away = button({ icon: "trash", kind: "quiet", title: `Remove ${one.name}`, onClick: () => remove(one.name) });
        return h("li", { class: "spread" }, h("span", { class: "grow" }, one.name), reads, away);
      }),
    );
  }

  /** @param {string} name */
  async function remove(name) {
    try {
      await studio.api(`directions/${encodeURIComponent(name)}`, { method: "DELETE" });
      await studio.refresh();
      const { moves } = studio.args.get();
      if (name in moves) studio.args.patch({ moves: Object.fromEntries(Object.entries(moves).filter(([key]) => key !== name)) });
      studio.say(`${name} removed.`);
    } catch (error) {
      studio.toast(/** @type {Error} */ (error).message, { kind: "error" });
    }
  }
}

/** One side: examples that were lassoed, shown, or dropped here.
 * @param {string} name @param {import("../types.js").Studio} studio @param {() => void} changed */
function group(name, studio, changed) {
  /** @type {Base[]} */
  let held = [];
  const count = h("span", { class: "badge" }, "0");
  const grid = h("div", { class: "thumbs examples" });
  const none = h("p", { class: "empty small" }, "Circle images on the map with the lasso (L), or drop some here.");
  const lassoed = button({ label: "Add the circled", icon: "lasso", onClick: () => add(studio.select.get().map((index) => ({ kind: "item", index }))) });
  const shown = button({ label: "Add the one shown", icon: "eye", kind: "quiet", onClick: addShown });
  const clear = button({ icon: "trash", kind: "quiet", title: `Empty “${name}”`, onClick: () => set([]) });
  const element = h(
    "section",
    { class: "card stack tight example-group", "aria-label": name },
    h("div", { class: "spread" }, h("h3", { class: "grow" }, name), count, clear),
    grid,
    none,
    h("div", { class: "row" }, lassoed, shown),
  );
  dropzone(element, (base) => add([base]), { files: true });
  studio.select.subscribe(update);
  update();

  function update() {
    const circled = studio.select.get().length;
    lassoed.disabled = circled === 0;
    const words = /** @type {HTMLElement} */ (lassoed.querySelector("span"));
    words.textContent = circled ? `Add the ${circled} circled` : "Add the circled";
    none.hidden = held.length > 0;
    clear.hidden = held.length === 0;
    count.textContent = String(held.length);
    grid.hidden = held.length === 0;
    fill(grid, held.slice(0, SHOWN).map(example), held.length > SHOWN ? h("span", { class: "badge more" }, `+${held.length - SHOWN}`) : null);
  }

  async function addShown() {
    const { args } = studio;
    const state = args.get();
    const edits = Object.keys(state.moves).length + Object.keys(state.dims).length;
    if (!edits) return add([state.base]);
    const { id: latent } = await studio.api("latents", { body: { args: state } });
    add([{ kind: "latent", id: latent }]);
  }

  /** @param {Base[]} bases */
  function add(bases) {
    const there = new Set(held.map((base) => JSON.stringify(base)));
    set([...held, ...bases.filter((base) => !there.has(JSON.stringify(base)))]);
  }

  /** @param {Base[]} bases */
  function set(bases) {
    held = bases;
    update();
    changed();
  }

  /** @param {Base} base @param {number} k */
  function example(base, k) {
    const words = describe(base);
    const image = base.kind === "item" ? h("img", { class: "thumb", src: studio.url(`items/${base.index}/image`), alt: "" }) : pictureOf(plain(base), "");
    const tile = h("button", { type: "button", class: "plain", title: `${words}: click to take it out`, "aria-label": `Take out ${words}`, on: { click: () => set(held.filter((_, at) => at !== k)) } }, image);
    draggable(tile, () => base);
    return tile;
  }

  return { element, get: () => held };
}
