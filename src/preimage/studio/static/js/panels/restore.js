// @ts-check
/** Restore: damage a picture, and watch the model bring it back; with how sure it is of each place. */

import { button, choice, fill, h } from "../dom.js";
import { card, guarded } from "../jobs/card.js";
import { fillings } from "../jobs/fillings.js";
import { finding, picture, pictures, swap } from "../jobs/figures.js";
import { jobsOf } from "../jobs/store.js";

/** @typedef {import("../jobs/store.js").Job} Job */

export const id = "restore";
export const title = "Restore";
export const icon = "restore";
export const key = "n";
export const hint = "Shrink, blur, grey, drown in noise or scratch a picture, and watch the model bring it back.";

const WAIT = 120;
/** @type {{value: string, label: string}[]} */
const DAMAGES = [
  { value: "shrink", label: "Shrink" },
  { value: "blur", label: "Blur" },
  { value: "grey", label: "Grey" },
  { value: "noise", label: "Noise" },
  { value: "scratch", label: "Scratch" },
];

/** @param {import("../types.js").Session} session */
export const available = (session) => session.panels.restore === true;

/** @param {HTMLElement} element @param {import("../types.js").Studio} studio */
export function mount(element, studio) {
  const jobs = jobsOf(studio);
  const { args } = studio;
  const colour = studio.session.image.channels === 3;
  let damage = "shrink";
  let seed = 0;
  const kinds = choice({
    label: "Damage",
    options: DAMAGES.filter((one) => colour || one.value !== "grey"),
    value: damage,
    onChange(value) {
      damage = value;
      amount.disabled = value === "grey";
      again.hidden = value !== "noise" && value !== "scratch";
      soon();
    },
  });
  const amount = h("input", { type: "range", class: "amount", min: "0", max: "1", step: "0.05", value: "0.5", "aria-label": "How much", on: { input: soon } });
  const again = button({ icon: "dice", kind: "quiet", title: "Other scratches, other noise", onClick: () => { seed += 1; soon(); } });
  again.hidden = true;
  const complaint = h("p", { class: "error small", role: "alert", hidden: true });
  const original = picture("As it was");
  const damaged = picture("Damaged");
  const restored = picture("Restored");
  const unsure = picture("Unsure");
  const go = button({ label: "Bring it back", icon: "restore", kind: "primary", onClick: start });
  const status = card(jobs, { onAgain: start });
  const said = h("div", { class: "findings", "aria-live": "polite" });
  const others = h("h3", null, "Others that would do");
  const results = fillings(studio, jobs);
  const four = pictures(original.element, damaged.element, restored.element, unsure.element);
  four.classList.add("four");
  restored.element.hidden = unsure.element.hidden = others.hidden = true;
  fill(
    element,
    kinds.element,
    h("label", { class: "row small muted" }, "A little", h("span", { class: "grow" }, amount), "a lot", again),
    complaint,
    four,
    h("div", { class: "row foot" }, go),
    status.element,
    said,
    others,
    results.element,
  );

  /** @type {string | null} */
  let jobId = null;
  let timer = 0;
  let turn = 0;
  let open = true;
  jobs.follow(() => jobId, draw);
  args.subscribe((_, why) => why !== "preview" && open && soon());
  load();

  function soon() {
    clearTimeout(timer);
    timer = window.setTimeout(load, WAIT);
  }

  const asked = () => ({ args: args.get(), damage, amount: Number(amount.value), seed });

  /** The picture and what is left of it. */
  async function load() {
    const mine = (turn += 1);
    try {
      const [before, after] = await Promise.all([
        studio.api("subject", { body: { args: args.get() } }),
        studio.api("damage", { body: asked() }),
      ]);
      if (mine !== turn) return;
      complaint.hidden = true;
      for (const [place, blob] of /** @type {const} */ ([[original, before], [damaged, after]])) {
        place.element.classList.remove("blank");
        place.image.hidden = false;
        swap(place.image, blob);
      }
      go.disabled = false;
    } catch (error) {
      if (mine !== turn) return;
      complaint.textContent = /** @type {Error} */ (error).message;
      complaint.hidden = false;
      go.disabled = true;
    }
  }

  async function start() {
    studio.overlay(null);
    await guarded(jobs, async () => {
      const job = await jobs.start("restore", asked());
      jobId = job.id;
      draw(job);
    });
  }

  /** @param {Job} job */
  function draw(job) {
    status.show(job);
    const files = job.result?.files ?? {};
    restored.element.hidden = false;
    unsure.element.hidden = !files.uncertainty;
    restored.set(files.restored ? studio.url(`jobs/${job.id}/files/${files.restored}`) : null);
    if (files.uncertainty) unsure.set(studio.url(`jobs/${job.id}/files/${files.uncertainty}`));
    if (job.status === "failed" || job.status === "cancelled") restored.element.hidden = true;
    const inside = job.result?.inside;
    fill(
      said,
      inside === undefined
        ? []
        : finding(
            inside > 0.8 ? "good" : "doubt",
            "Does it know what it does not know?",
            `It expects 90 of 100 pixels within the bands it gives; ${Math.round(100 * inside)} of the true ones are.`,
          ),
    );
    results.show(job);
    others.hidden = results.element.hidden;
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
