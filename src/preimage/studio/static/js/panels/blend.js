// @ts-check
/** Blend: walk from one picture to another, or add what makes one picture differ to a third. */

import { button, choice, fill, h } from "../dom.js";
import { draggable } from "../drag.js";
import { exporter } from "../exports.js";
import { pictureOf, plain } from "../pictures.js";
import { slot } from "../slot.js";
import { describe } from "../words.js";

/** @typedef {import("../types.js").Args} Args */
/** @typedef {import("../types.js").Base} Base */
/** @typedef {"lerp" | "slerp" | "geodesic"} Path */

export const id = "blend";
export const title = "Blend";
export const icon = "blend";
export const key = "b";
export const hint = "Two pictures, and everything between them. Drop images here, or click a slot to choose.";

const SHARES = Array.from({ length: 101 }, (_, k) => k / 100); // where its slider can be
const FILM = 7; // pictures of the strip
const FRAMES = 30; // of an animation, one way
const SHELF = 10; // pictures shown lately
const THERE = 2600; // ms of one way when it plays

/** @param {import("../types.js").Session} _ */
export const available = (_) => true;

/** @param {HTMLElement} element @param {import("../types.js").Studio} studio */
export function mount(element, studio) {
  const { args } = studio;
  const between = walk(studio);
  const sums = arithmetic(studio);
  const shelf = lately(studio);
  const kind = choice({
    label: "Kind of blend",
    options: [
      { value: "between", label: "From A to B" },
      { value: "sum", label: "A − B + C" },
    ],
    value: args.get().base.kind === "arithmetic" ? "sum" : "between",
    onChange: show,
  });

  /** @param {string} value */
  function show(value) {
    between.element.hidden = value !== "between";
    sums.element.hidden = value !== "sum";
  }

  show(args.get().base.kind === "arithmetic" ? "sum" : "between");
  fill(element, kind.element, between.element, sums.element, shelf);
  return { hidden: between.stop };
}

/** From A to B. @param {import("../types.js").Studio} studio */
function walk(studio) {
  const { args } = studio;
  const a = slot("A", studio, filled);
  const b = slot("B", studio, filled);
  let t = 0.5;
  /** @type {Path} */
  let path = "slerp";
  let playing = 0;
  const range = h("input", {
    type: "range",
    class: "slide",
    min: "0",
    max: "1",
    step: "0.01",
    "aria-label": "From A to B",
    on: {
      input() {
        stop();
        move(Number(range.value));
      },
    },
  });
  const film = h("div", { class: "film", role: "group", "aria-label": "Steps from A to B" });
  const ways = choice({
    label: "Path",
    options: [
      { value: "lerp", label: "Straight", title: "lerp: the straight line between the two latents" },
      { value: "slerp", label: "Arc", title: "slerp: an arc that stays as far from the centre as the two are" },
      { value: "geodesic", label: "Geodesic", title: "The path along which the picture changes least" },
    ],
    value: path,
    onChange(value) {
      path = /** @type {Path} */ (value);
      move(t);
      strip();
    },
  });
  const play = button({ icon: "play", label: "Play", onClick: () => (playing ? stop() : start()) });
  const files = exporter(studio, {
    label: "Save it as",
    kinds: ["gif", "webp", "mp4"],
    name: "blend",
    frames: () => (ready() ? Array.from({ length: FRAMES }, (_, k) => at(k / (FRAMES - 1))) : []),
  });
  const element = h(
    "section",
    { class: "stack" },
    h(
      "div",
      { class: "slots" },
      a.element,
      button({ icon: "swap", kind: "quiet", title: "Exchange A and B", onClick: swap }),
      b.element,
    ),
    h("div", { class: "way" }, range, film),
    h("div", { class: "spread wrap" }, ways.element, play),
    files,
  );

  args.subscribe((_, why) => why !== "preview" && follow());
  first();

  /** Something is there from the start: the picture shown, and another. */
  function first() {
    const { base } = args.get();
    if (base.kind !== "blend") {
      a.set(base);
      b.set(another(studio.session.data.n));
      strip();
    }
    follow();
  }

  /** What was set elsewhere: undo, the address, the drift of the first minute. */
  function follow() {
    const { base } = args.get();
    if (base.kind !== "blend") return;
    const before = JSON.stringify([a.get(), b.get(), path]);
    a.set(base.a);
    b.set(base.b);
    path = base.path;
    ways.set(path);
    mark(base.t);
    if (JSON.stringify([a.get(), b.get(), path]) !== before) strip();
  }

  function ready() {
    return a.get() !== null && b.get() !== null;
  }

  /** @param {number} share @returns {Args} */
  function at(share) {
    const [from, to] = [/** @type {Base} */ (a.get()), /** @type {Base} */ (b.get())];
    return { ...args.get(), base: { kind: "blend", a: from, b: to, t: share, path } };
  }

  /** @param {number} share */
  function move(share) {
    mark(share);
    if (!ready()) return;
    args.set(at(share), { gesture: "blend" });
    studio.live.ahead("base.t", share, SHARES, at);
  }

  /** @param {number} share */
  function mark(share) {
    t = share;
    range.value = String(share);
    range.style.setProperty("--from", "0%");
    range.style.setProperty("--to", `${share * 100}%`);
    range.setAttribute("aria-valuetext", `${Math.round(share * 100)} % of the way to B`);
    const nearest = Math.round(share * (FILM - 1));
    [...film.children].forEach((frame, k) => frame.setAttribute("aria-current", String(k === nearest)));
  }

  function filled() {
    move(t);
    strip();
  }

  function swap() {
    const [from, to] = [a.get(), b.get()];
    a.set(to);
    b.set(from);
    move(1 - t);
    strip();
  }

  /** The steps, drawn one after the other. */
  function strip() {
    if (!ready()) return;
    fill(
      film,
      Array.from({ length: FILM }, (_, k) => {
        const share = k / (FILM - 1);
        const picture = pictureOf(at(share), "");
        const go = () => {
          stop();
          move(share);
        };
        return h("button", { type: "button", "aria-label": `${Math.round(share * 100)} % of the way`, on: { click: go } }, picture);
      }),
    );
    mark(t);
  }

  function start() {
    if (!ready()) return;
    const begun = performance.now() - t * THERE;
    play.setAttribute("aria-pressed", "true");
    const step = (/** @type {number} */ now) => {
      const way = ((now - begun) / THERE) % 2;
      const share = way < 1 ? way : 2 - way;
      const eased = share * share * (3 - 2 * share);
      mark(Number(eased.toFixed(3)));
      args.preview(at(t));
      playing = requestAnimationFrame(step);
    };
    playing = requestAnimationFrame(step);
  }

  function stop() {
    if (!playing) return;
    cancelAnimationFrame(playing);
    playing = 0;
    play.setAttribute("aria-pressed", "false");
    move(t);
  }

  return { element, stop };
}

/** An image of the data, where there is one; else a sample. @param {number} n @returns {Base} */
function another(n) {
  const chance = Math.random();
  if (n > 0) return { kind: "item", index: Math.floor(chance * n) };
  return { kind: "sample", seed: Math.floor(chance * 1e6) };
}

/** A − B + C. @param {import("../types.js").Studio} studio */
function arithmetic(studio) {
  const { args } = studio;
  const slots = ["A", "B", "C"].map((letter) => slot(letter, studio, sum));
  const element = h(
    "section",
    { class: "stack", hidden: true },
    h(
      "div",
      { class: "slots" },
      slots[0].element,
      h("span", { class: "between" }, "−"),
      slots[1].element,
      h("span", { class: "between" }, "+"),
      slots[2].element,
    ),
    h("p", { class: "hint small" }, "What A has and B has not is given to C: a face with glasses, minus the same without, plus another face. The picture appears when all three are there."),
  );
  args.subscribe((_, why) => why !== "preview" && follow());
  follow();

  function sum() {
    const [a, b, c] = slots.map((one) => one.get());
    if (a && b && c) args.patch({ base: { kind: "arithmetic", a, b, c } });
  }

  function follow() {
    const { base } = args.get();
    if (base.kind !== "arithmetic") return;
    [base.a, base.b, base.c].forEach((one, k) => slots[k].set(one));
  }

  return { element };
}

/** Pictures shown lately, to be dragged into a slot. @param {import("../types.js").Studio} studio */
function lately(studio) {
  const { args } = studio;
  /** @type {Map<string, Base>} */
  const seen = new Map();
  const shelf = h("div", { class: "shelf" });
  const element = h("section", { class: "way", hidden: true }, h("h3", null, "Shown lately"), shelf);
  for (const past of args.past) note(past.base);
  args.subscribe((_, why) => why === "set" && note(args.get().base));

  /** @param {Base} base */
  function note(base) {
    if (base.kind === "blend" || base.kind === "arithmetic") return;
    const name = JSON.stringify(base);
    if (seen.has(name)) return;
    seen.set(name, base);
    const tile = h(
      "button",
      { type: "button", class: "tile", title: `${describe(base)}: drag it into a slot`, "aria-label": `Show ${describe(base)}`, on: { click: () => studio.show(base) } },
      pictureOf(plain(base, args.get()), ""),
    );
    draggable(tile, () => base);
    shelf.prepend(tile);
    while (shelf.children.length > SHELF) shelf.lastElementChild?.remove();
    element.hidden = false;
  }

  return element;
}
