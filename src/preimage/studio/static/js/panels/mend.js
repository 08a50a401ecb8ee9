// @ts-check
/** Mend: paint over what is wrong or missing, and see what may have been there. */

import { button, choice, fill, h } from "../dom.js";
import { card, guarded } from "../jobs/card.js";
import { fillings } from "../jobs/fillings.js";
import { picture, pictures } from "../jobs/figures.js";
import { pad } from "../jobs/pad.js";
import { jobsOf } from "../jobs/store.js";

/** @typedef {import("../jobs/store.js").Job} Job */

export const id = "mend";
export const title = "Mend";
export const icon = "brush";
export const key = "e";
export const hint = "Paint over what is wrong or missing. The model shows what may have been there, and where it is unsure.";

/** @param {import("../types.js").Session} session */
export const available = (session) => session.panels.mend === true;

/** @param {HTMLElement} element @param {import("../types.js").Studio} studio */
export function mount(element, studio) {
  const jobs = jobsOf(studio);
  const { args } = studio;
  const { width, height } = studio.session.image;
  const side = Math.max(width, height);
  const painting = pad({ width, height, changed });
  const tool = choice({
    label: "Brush or eraser",
    options: [
      { value: "brush", label: "Brush" },
      { value: "erase", label: "Eraser", title: "Or hold Shift while painting" },
    ],
    value: "brush",
    onChange: (value) => painting.erase(value === "erase"),
  });
  const size = h("input", { type: "range", min: "1", max: String(Math.round(side / 2)), value: String(Math.max(2, Math.round(side / 8))), "aria-label": "Size of the brush", on: { input: () => painting.brush(Number(size.value)) } });
  painting.brush(Number(size.value));
  const undo = button({ icon: "undo", kind: "quiet", title: "Undo a stroke", onClick: () => painting.undo() });
  const invert = button({ icon: "swap", kind: "quiet", title: "Mark the rest instead", onClick: () => painting.invert() });
  const clear = button({ icon: "trash", kind: "quiet", title: "Clear the mask", onClick: () => painting.clear() });
  const go = button({ label: "Fill it", icon: "spark", kind: "primary", onClick: start });
  const status = card(jobs, { onAgain: start });
  const results = fillings(studio, jobs);
  const unsure = picture("Where it is unsure (light: most)");
  const map = pictures(unsure.element);
  map.hidden = true;
  fill(
    element,
    h("div", { class: "row tools-row" }, tool.element, h("label", { class: "row small muted grow brush-size" }, "Size", size), undo, invert, clear),
    painting.element,
    h("div", { class: "row foot" }, go),
    status.element,
    results.element,
    map,
  );

  /** @type {string | null} */
  let jobId = null;
  let open = true;
  let asked = 0;
  jobs.follow(() => jobId, draw);
  args.subscribe((_, why) => why !== "preview" && open && load());
  load();
  changed();

  /** The picture itself, as it was before the model saw it. */
  async function load() {
    const turn = (asked += 1);
    await guarded(jobs, async () => {
      const bitmap = await createImageBitmap(await studio.api("subject", { body: { args: args.get() } }));
      if (turn !== asked) return;
      painting.picture.getContext("2d")?.drawImage(bitmap, 0, 0, width, height);
    });
  }

  function changed() {
    const marked = painting.marked();
    go.disabled = marked === 0 || marked === width * height;
    undo.disabled = !painting.canUndo();
    clear.disabled = marked === 0;
  }

  async function start() {
    studio.overlay(null);
    await guarded(jobs, async () => {
      const job = await jobs.start("inpaint", { args: args.get(), mask: painting.text() });
      jobId = job.id;
      draw(job);
    });
  }

  /** @param {Job} job */
  function draw(job) {
    status.show(job);
    results.show(job);
    const file = job.result?.files?.uncertainty;
    map.hidden = !file;
    if (file) unsure.set(studio.url(`jobs/${job.id}/files/${file}`));
  }

  return {
    shown() {
      open = true;
      load();
    },
    hidden() {
      open = false;
      studio.overlay(null);
    },
  };
}
