// @ts-check
/** Several pictures that would do, one of which a person takes. */

import { button, fill, h } from "../dom.js";
import { guarded } from "./card.js";
import { picture, pictures } from "./figures.js";

/** @typedef {import("./store.js").Job} Job */

/**
 * @param {import("../types.js").Studio} studio @param {import("./store.js").Jobs} jobs
 */
export function fillings(studio, jobs) {
  const grid = h("div");
  const take = button({ label: "Go on with this one", icon: "check", kind: "primary", onClick: use });
  const element = h("div", { class: "stack tight" }, grid, h("div", { class: "row" }, take));
  element.hidden = true;
  /** @type {Job | null} */
  let shown = null;
  let chosen = 0;
  let drawn = "";

  /** @param {Job | null} job */
  function show(job) {
    const files = job?.status === "done" ? (job.result?.files ?? {}) : {};
    const names = Object.keys(files).filter((name) => name.startsWith("filling "));
    element.hidden = names.length === 0;
    if (!job || element.hidden || drawn === job.id) return;
    [shown, drawn] = [job, job.id];
    const all = names.map((name, k) => {
      const one = picture(k ? `${k + 1}` : "Likeliest", { title: `Filling ${k + 1}`, onClick: () => choose(k) });
      one.set(studio.url(`jobs/${job.id}/files/${files[name]}`));
      return one.element;
    });
    fill(grid, pictures(...all));
    choose(0);
  }

  /** @param {number} k */
  function choose(k) {
    chosen = k;
    grid.querySelectorAll("button").forEach((one, at) => {
      one.classList.toggle("chosen", at === k);
      one.setAttribute("aria-pressed", String(at === k));
    });
    if (!shown) return;
    studio.overlay({ image: studio.url(`jobs/${shown.id}/files/filling-${k + 1}.png`), caption: `Filling ${k + 1}` });
  }

  async function use() {
    if (!shown) return;
    const { id } = shown;
    await guarded(jobs, async () => {
      const body = { file: `filling-${chosen + 1}.png`, row: chosen };
      const image = await studio.api(`jobs/${id}/use`, { body });
      studio.overlay(null);
      studio.show({ kind: "image", id: image.id });
      studio.say("Taken. It can be edited now.");
    });
  }

  return { element, show };
}
