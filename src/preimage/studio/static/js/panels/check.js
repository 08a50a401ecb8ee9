// @ts-check
/** Check: whether anything is odd about the picture shown, how surely, and where. */

import { button, fill, h } from "../dom.js";
import { card, guarded } from "../jobs/card.js";
import { png, swap } from "../jobs/figures.js";
import { jobsOf } from "../jobs/store.js";
import { number } from "../words.js";

/** @typedef {{title: string, score: number, p: number, anomalous: boolean, threshold: number,
 *   regions: number, share: number, picture: string, heat: string}} Finding */

export const id = "check";
export const title = "Check";
export const icon = "shield";
export const key = "c";
export const hint = "Is anything odd about this picture? A detector that has seen good ones says how surely, and where.";

const WAIT = 250;

/** @param {import("../types.js").Session} session */
export const available = (session) => session.panels.check === true;

/** @param {HTMLElement} element @param {import("../types.js").Studio} studio */
export function mount(element, studio) {
  const { args } = studio;
  const jobs = jobsOf(studio);
  const why = h("p", { class: "muted" });
  const learn = button({ label: "Learn what is normal", icon: "spark", kind: "primary", onClick: fit });
  const status = card(jobs, { onAgain: fit });
  const start = h("div", { class: "stack tight" }, why, learn, status.element);
  const verdict = h("p", { class: "verdict", role: "status" });
  const details = h("p", { class: "muted small" });
  const scale = h("div", { class: "scale", role: "img" }, h("span", { class: "level" }), h("span", { class: "limit" }));
  const under = h("img", { class: "shown", alt: "The picture that was checked" });
  const over = h("img", { class: "shown heat", alt: "Where it is odd: bright is most" });
  const strength = h("input", { type: "range", min: "0", max: "100", value: "80", "aria-label": "How strongly the odd places are shown" });
  const result = h(
    "div",
    { class: "stack tight" },
    verdict,
    scale,
    details,
    h("div", { class: "layers" }, under, over),
    h("label", { class: "row small muted" }, "Odd places", strength),
  );
  const complaint = h("p", { class: "error small", role: "alert", hidden: true });
  fill(element, start, complaint, result);
  result.hidden = start.hidden = true;

  strength.addEventListener("input", fade);
  fade();
  jobs.subscribe((job) => {
    const fitting = job ?? jobs.latest("detector");
    if (fitting?.kind !== "detector") return;
    status.show(fitting);
    learn.hidden = fitting.status === "queued" || fitting.status === "running";
    if (fitting.status === "done" && !able) ready();
  });
  let timer = 0;
  let asked = 0;
  let open = true;
  let able = false;
  args.subscribe((_, because) => {
    clearTimeout(timer);
    if (because !== "preview" && open && able) timer = window.setTimeout(check, WAIT);
  });
  ready();

  function fade() {
    over.style.opacity = String(Number(strength.value) / 100);
  }

  /** Whether there is a detector; if not, whether one can be had. */
  async function ready() {
    await guarded(jobs, async () => {
      const known = await studio.api("check");
      able = known.ready;
      start.hidden = able;
      result.hidden = !able;
      learn.disabled = known.images === 0;
      why.textContent = known.images
        ? `No detector yet. One can be learned from the ${known.images.toLocaleString("en")} images this model was trained on; it takes a minute or two and is kept with the run.`
        : "There are no images here that a detector could learn from.";
      if (able) await check();
    });
  }

  async function fit() {
    await guarded(jobs, () => jobs.start("detector", {}));
  }

  async function check() {
    const turn = (asked += 1);
    result.setAttribute("aria-busy", "true");
    try {
      const state = args.get();
      /** @type {Finding} */
      const found = await studio.api("check", { body: { args: state } });
      if (turn !== asked) return;
      complaint.hidden = true;
      draw(found);
    } catch (error) {
      if (turn !== asked) return;
      complaint.textContent = /** @type {Error} */ (error).message;
      complaint.hidden = false;
    } finally {
      if (turn === asked) result.removeAttribute("aria-busy");
    }
  }

  /** @param {Finding} found */
  function draw(found) {
    verdict.textContent = found.anomalous ? "Something is odd here" : "Nothing odd";
    verdict.classList.toggle("bad", found.anomalous);
    const places = found.regions === 1 ? "1 place" : `${found.regions} places`;
    details.textContent =
      `Of 100 good images about ${number(Math.min(100, 100 * found.p), 1)} are as odd as this` +
      (found.anomalous && found.regions ? `; ${places}, ${number(100 * found.share, 1)} % of the picture.` : ".");
    const far = Math.max(found.score, found.threshold) * 1.25 || 1;
    /** @type {HTMLElement} */ (scale.firstElementChild).style.inlineSize = `${(100 * Math.max(0, found.score)) / far}%`;
    /** @type {HTMLElement} */ (scale.lastElementChild).style.insetInlineStart = `${(100 * found.threshold) / far}%`;
    scale.setAttribute("aria-label", `Score ${number(found.score)}; odd above ${number(found.threshold)}`);
    scale.title = scale.getAttribute("aria-label") ?? "";
    scale.classList.toggle("bad", found.anomalous);
    swap(under, png(found.picture));
    swap(over, png(found.heat));
  }

  return {
    shown() {
      open = true;
      ready();
    },
    hidden: () => (open = false),
  };
}
