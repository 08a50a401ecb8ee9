// @ts-check
/** Sliders: directions with a name, directions found without labels, and single latents. */

import { choice, fill, h } from "../dom.js";
import { slider } from "../slider.js";
import { directionName, without } from "../words.js";

/** @typedef {import("../types.js").Studio} Studio */
/** @typedef {import("../types.js").Session} Session */

const MANY = 14; // rows shown of a group before "show all"
const WEAK = 0.1; // how well a direction reads images, below which it stands with others like it

export const id = "sliders";
export const title = "Sliders";
export const icon = "sliders";
export const key = "s";
export const hint = "Each slider changes one thing about the picture. Double-click puts it back.";

/** @param {Session} session */
export const available = (session) => session.directions.length > 0 || session.dims.length > 0;

/** @param {HTMLElement} element @param {Studio} studio */
export function mount(element, studio) {
  const { args, session } = studio;
  /** @type {Map<string, ReturnType<typeof slider>>} by "moves.NAME" or "dims.INDEX" */
  const rows = new Map();
  const filter = h("input", { type: "search", placeholder: "Find a slider", "aria-label": "Find a slider", on: { input: narrow } });
  const groups = h("div", { class: "stack" });
  const classes = session.conditional && session.classes.length > 0 ? classPicker(studio) : null;
  fill(element, classes, filter, groups);
  build();

  studio.onSession(build);
  args.subscribe((_, why) => why !== "preview" && update());
  let wrong = false;
  studio.live.subscribe(({ error }) => {
    if (!error && !wrong) return;
    wrong = error !== null;
    for (const [where, row] of rows) row.complain(error?.where === where ? error.error : "");
  });

  function build() {
    rows.clear();
    const labelled = session.directions.filter(({ kind }) => kind !== "unlabelled");
    const weak = labelled.filter((one) => skill(one) < WEAK);
    const all = labelled.filter((one) => !weak.includes(one));
    const kinds = all.filter(({ name }) => /[=:]/.test(name)); // one value of several, as hair=red
    const named = [...all.filter((one) => !kinds.includes(one)), ...kinds];
    const found = session.directions.filter(({ kind }) => kind === "unlabelled");
    const active = session.dims.filter((dim) => dim.active);
    const idle = session.dims.filter((dim) => !dim.active);
    filter.hidden = session.directions.length + session.dims.length <= MANY;
    fill(
      groups,
      group("Directions with a name", named.map(direction), {
        empty: session.panels.name && !weak.length ? "None yet. Choose examples under “Name it”, and a slider appears here." : "",
      }),
      group("Hardly to be seen", weak.map(direction), { folded: true }),
      group("Found without labels", found.map(direction)),
      group("Single latents", active.map(dimension), { folded: named.length + found.length > 0 }),
      group("Latents that do nothing", idle.map(dimension), { folded: true }),
    );
    update();
  }

  /** @param {import("../types.js").Direction} direction */
  function direction(direction) {
    const { name, unit, low, high } = direction;
    const badge = badgeOf(direction);
    return row(`moves.${name}`, { name: directionName(name), unit, low, high, badge }, (value) => {
      const { moves } = args.get();
      return { ...args.get(), moves: value === 0 ? without(moves, name) : { ...moves, [name]: value } };
    });
  }

  /** @param {import("../types.js").Dimension} dim */
  function dimension({ index, low, high }) {
    const name = String(index);
    return row(`dims.${index}`, { name: `Latent ${index}`, unit: "", low, high, badge: null }, (value) => {
      const { dims } = args.get();
      return { ...args.get(), dims: value === 0 ? without(dims, name) : { ...dims, [name]: value } };
    });
  }

  /** @param {string} where @param {Parameters<typeof slider>[0]} about
   * @param {(value: number) => import("../types.js").Args} at */
  function row(where, about, at) {
    const made = slider(about, (value) => {
      args.set(at(value), { gesture: where });
      studio.live.ahead(where, value, made.places, at);
    });
    rows.set(where, made);
    return made.element;
  }

  function update() {
    const { moves, dims } = args.get();
    for (const [where, row] of rows) {
      const name = where.slice(where.indexOf(".") + 1);
      row.set((where.startsWith("moves.") ? moves[name] : dims[name]) ?? 0);
    }
  }

  /** Only the sliders whose name holds what was typed, from every group. */
  function narrow() {
    const text = filter.value.trim().toLowerCase();
    groups.classList.toggle("narrowed", text !== "");
    for (const row of rows.values()) {
      row.element.hidden = !row.name.toLowerCase().includes(text);
    }
    if (text) for (const folded of groups.querySelectorAll("details")) folded.open = true;
  }
}

/** How well it reads images: 1 where it is never wrong, 0 where it guesses.
 * @param {import("../types.js").Direction} direction */
function skill({ accuracy, r_squared }) {
  if (accuracy !== undefined) return 2 * accuracy - 1;
  return r_squared ?? 1; // of what was not measured, nothing is said
}

/** @param {import("../types.js").Direction} direction */
function badgeOf({ kind, accuracy, r_squared }) {
  const percent = (/** @type {number} */ share) => `${Math.round(100 * share)} %`;
  if (kind === "counterfactual") return { text: "bends", title: "A counterfactual: it follows the picture instead of a straight line" };
  if (accuracy !== undefined) return { text: percent(accuracy), title: "How often it tells images with it from those without; 50 % is chance" };
  if (r_squared !== undefined) return { text: percent(Math.max(0, r_squared)), title: "How much of it can be read from images; 0 % is nothing" };
  return null;
}

/** @param {string} name @param {HTMLElement[]} rows @param {{folded?: boolean, empty?: string}} [options] */
function group(name, rows, { folded = false, empty = "" } = {}) {
  if (rows.length === 0) return empty ? h("section", null, h("h3", null, name), h("p", { class: "hint small" }, empty)) : null;
  const rest = rows.length - MANY;
  const shown = folded || rest <= 2 ? rows : rows.slice(0, MANY);
  const list = h("div", { class: "sliders" }, shown);
  if (folded) {
    return h("details", { class: "fold" }, h("summary", null, name, h("span", { class: "badge" }, rows.length)), list);
  }
  const section = h("section", { class: "slider-group" }, h("h3", null, name), list);
  if (shown.length < rows.length) {
    const more = h("div", { class: "sliders" }, rows.slice(MANY));
    section.append(h("details", { class: "fold" }, h("summary", null, `${rest} more`), more));
  }
  return section;
}

/** Which class a conditional model draws. @param {Studio} studio */
function classPicker({ args, session }) {
  const picker = choice({
    label: "Class",
    options: session.classes.map((name) => ({ value: name, label: name })),
    value: args.get().label ?? session.classes[0],
    onChange: (label) => args.patch({ label }),
  });
  picker.element.classList.add("classes");
  args.subscribe(() => picker.set(args.get().label ?? session.classes[0]));
  return h("section", { class: "slider-group" }, h("h3", null, "Class"), picker.element);
}
