// @ts-check
/** Train: images, a recipe, a budget; then samples and curves while it goes on. */

import { button, choice, field, fill, h, select } from "../dom.js";
import { card, duration, guarded } from "../jobs/card.js";
import { curve } from "../jobs/curve.js";
import { picture } from "../jobs/figures.js";
import { folders } from "../jobs/folders.js";
import { hasEnded, jobsOf } from "../jobs/store.js";
import { copy } from "../tools.js";

/** @typedef {import("../jobs/store.js").Job} Job */
/** @typedef {{recipes: {name: string, about: string}[], folders: string[], sets: string[], own: string}} About */

export const id = "train";
export const title = "Train";
export const icon = "train";
export const key = "g";
export const hint = "A latent space of your own images. Choose them, say how long, and watch it learn.";

const SIZES = ["", "28", "32", "64", "128"];
const CURVES = [
  { key: "loss", label: "Loss" },
  { key: "heldout_loss", label: "On unseen images" },
  { key: "generator_loss", label: "Generator" },
  { key: "critic_loss", label: "Critic" },
];

/** @param {import("../types.js").Session} session */
export const available = (session) => session.panels.train === true;

/** @param {HTMLElement} element @param {import("../types.js").Studio} studio */
export function mount(element, studio) {
  const jobs = jobsOf(studio);
  const form = h("div", { class: "stack" }, h("p", { class: "muted" }, "…"));
  const watching = progressOf(studio);
  fill(element, watching.element, form);
  guarded(jobs, async () => fill(form, trainingForm(studio, await studio.api("train"), (job) => watching.follow(job))));
}

/** @param {import("../types.js").Studio} studio @param {About} about
 * @param {(job: Job) => void} started */
function trainingForm(studio, about, started) {
  const jobs = jobsOf(studio);
  /** @type {Record<string, any> | null} what is sent as the source */
  let source = null;
  let kind = "";
  const complaint = h("p", { class: "error small", role: "alert", hidden: true });
  const note = h("p", { class: "small muted", role: "status" });
  const place = h("div", { class: "stack tight" });
  const name = h("input", { type: "text", maxLength: 60, autocomplete: "off", placeholder: "images" });

  const browser = folders(studio, about.folders, (chosen) => {
    if (kind !== "folder") return;
    source = chosen.images || chosen.archive ? { root: chosen.root, path: chosen.path } : null;
    name.placeholder = chosen.path.split("/").at(-1) || about.folders[chosen.root];
  });
  const file = h("input", { type: "file", accept: ".zip,.tar,.gz,.tgz,.xz,.bz2", hidden: true });
  const bring = button({ label: "Choose a zip or tar…", icon: "upload", onClick: () => file.click() });
  file.addEventListener("change", upload);
  const built = select(
    [...(about.own ? [{ value: "", label: `Those of this run (${about.own})` }] : []), ...about.sets.map((one) => ({ value: one, label: one }))],
    { label: "Images that are here already", onChange: takeBuilt },
  );

  /** @type {{value: string, label: string}[]} */
  const ways = [
    ...(about.folders.length ? [{ value: "folder", label: "A folder" }] : []),
    { value: "archive", label: "A zip" },
    { value: "here", label: "Here already" },
  ];
  const way = choice({ label: "Where the images are", options: ways, value: ways[0].value, onChange: turn });

  const recipe = select([{ value: "", label: "Chosen for the images" }, ...about.recipes.map((one) => ({ value: one.name, label: `${one.name} – ${one.about}` }))]);
  const minutes = h("input", { type: "number", min: "0.1", max: "10080", step: "any", value: "5", inputMode: "decimal" });
  const size = select(SIZES.map((one) => ({ value: one, label: one ? `${one} × ${one} pixels` : "As suits the images" })));
  const told = h("input", { type: "checkbox" });
  const go = button({ label: "Train", icon: "train", kind: "primary" });
  go.type = "submit";
  turn(ways[0].value);

  /** @param {string} value */
  function turn(value) {
    kind = value;
    source = null;
    note.textContent = "";
    if (kind === "folder") {
      fill(place, browser.element);
      browser.open();
    } else if (kind === "archive") fill(place, h("div", { class: "row" }, bring, file), note);
    else {
      fill(place, built);
      takeBuilt();
    }
  }

  function takeBuilt() {
    source = built.value ? { set: built.value } : { own: true };
    name.placeholder = built.value || about.own;
  }

  async function upload() {
    const [archive] = file.files ?? [];
    file.value = "";
    if (!archive) return;
    note.textContent = `Uploading ${archive.name}…`;
    bring.disabled = true;
    try {
      const { id: uploaded } = await studio.api("archives", { body: archive });
      source = { archive: uploaded };
      name.placeholder = archive.name.replace(/\.[^.]*$/, "");
      note.textContent = `${archive.name} is here. Its images are checked when training begins.`;
    } catch (error) {
      note.textContent = /** @type {Error} */ (error).message;
    } finally {
      bring.disabled = false;
    }
  }

  /** @param {SubmitEvent} event */
  async function start(event) {
    event.preventDefault();
    complaint.hidden = true;
    try {
      if (!source) throw new Error("Choose the images first.");
      const body = {
        source,
        name: name.value.trim() || name.placeholder,
        recipe: recipe.value || null,
        minutes: Number(minutes.value),
        size: size.value ? Number(size.value) : null,
        conditional: told.checked,
      };
      started(await jobs.start("train", body));
    } catch (error) {
      complaint.textContent = /** @type {Error} */ (error).message;
      complaint.hidden = false;
    }
  }

  return h(
    "form",
    { class: "stack", on: { submit: start } },
    h("div", { class: "field" }, h("span", { class: "small muted" }, "Images"), way.element),
    place,
    field("Name", name),
    field("Recipe", recipe, "How it learns. Unset, one is chosen from the size and number of the images."),
    h("div", { class: "pair" }, field("Minutes, about", minutes), field("Size", size)),
    h("label", { class: "row small" }, told, "Tell the model the class of each image (one subfolder a class)"),
    complaint,
    h("div", { class: "row foot" }, go),
  );
}

/** The training that goes on, or the last one. @param {import("../types.js").Studio} studio */
function progressOf(studio) {
  const jobs = jobsOf(studio);
  /** @type {string | null} */
  let followed = null;
  const name = h("h3", { class: "grow" });
  const took = h("span", { class: "badge" });
  const samples = picture("Samples so far");
  const losses = curve({ series: CURVES, title: "Losses" });
  const status = card(jobs, { stop: "Stop and save" });
  const open = button({ label: "Open it here", icon: "map", kind: "primary", onClick: enter });
  const line = h("code");
  const copier = button({ icon: "copy", kind: "quiet", title: "Copy the command", onClick: () => copy(line.textContent ?? "", "Copied.", studio) });
  const command = h("div", { class: "code" }, line, copier);
  const element = h(
    "section",
    { class: "card stack tight training", "aria-label": "Training" },
    h("div", { class: "spread" }, name, took),
    status.element,
    samples.element,
    losses.element,
    open,
    command,
  );
  element.hidden = true;
  jobs.follow(() => followed, draw);
  jobs.subscribe((job) => {
    if (followed) return;
    if (job?.kind === "train") draw(job);
    else if (!job) last();
  });
  last();

  function last() {
    const job = jobs.latest("train", (one) => !hasEnded(one)) ?? jobs.latest("train");
    if (job) follow(job);
  }

  /** @param {Job} job */
  function follow(job) {
    followed = job.id;
    guarded(jobs, () => jobs.whole(job.id));
  }

  async function enter() {
    await guarded(jobs, async () => {
      await studio.api(`jobs/${followed}/open`, { body: {} });
      location.hash = "";
      location.reload();
    });
  }

  /** @param {Job} job */
  function draw(job) {
    followed = job.id;
    element.hidden = false;
    const run = job.result;
    name.textContent = run ? `${run.name} (${run.recipe})` : job.title;
    took.textContent = job.time ? duration(job.time - job.created) : "";
    took.hidden = !job.time;
    status.show(job);
    samples.set(job.preview ? studio.url(`jobs/${job.id}/preview?v=${job.preview}`) : null);
    samples.element.hidden = !job.preview;
    losses.draw(job.points ?? []);
    open.hidden = !(hasEnded(job) && run);
    line.textContent = run ? (job.status === "done" ? `preimage studio ${quoted(run.run)}` : `preimage train --resume ${quoted(run.run)}`) : "";
    command.hidden = !(hasEnded(job) && run);
  }

  return { element, follow };
}

/** A path as a shell reads it. @param {string} path */
const quoted = (path) => (/^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`);
