// @ts-check
/** A job in a panel: how far it is, in words and as a bar, with a button that ends it. */

import { button, fill, h, progress } from "../dom.js";
import { hasEnded } from "./store.js";

/** @typedef {import("./store.js").Job} Job */
/** @typedef {import("./store.js").Jobs} Jobs */

/** @param {number} seconds */
export function duration(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const WORDS = { queued: "Waiting", running: "Starting", done: "Done", failed: "Failed", cancelled: "Cancelled" };

/** @param {Job} job */
export function inWords(job) {
  if (job.status === "failed") return job.message;
  if (job.status !== "running") return WORDS[job.status];
  const stage = job.stage ? job.stage[0].toUpperCase() + job.stage.slice(1) : WORDS.running;
  const counts = job.total > 1 ? ` · ${job.step.toLocaleString("en")} of ${job.total.toLocaleString("en")}` : "";
  return `${stage}${counts}`;
}

/**
 * @param {Jobs} jobs
 * @param {{stop?: string, onAgain?: () => void}} [words] what the button that ends it says
 */
export function card(jobs, { stop = "Cancel", onAgain } = {}) {
  const says = h("p", { class: "small grow job-says", role: "status" });
  const bar = progress("How far it is");
  /** @type {Job | null} */
  let shown = null;
  const end = button({ label: stop, icon: "close", kind: "quiet", onClick: cancel });
  const again = button({ label: "Try again", icon: "reset", kind: "quiet", onClick: retry });
  const element = h("div", { class: "job-card" }, h("div", { class: "spread" }, says, end, again), bar.element);
  element.hidden = true;

  async function cancel() {
    if (shown) await guarded(jobs, () => jobs.cancel(/** @type {Job} */ (shown).id));
  }

  async function retry() {
    if (onAgain) return onAgain();
    if (shown) await guarded(jobs, () => jobs.again(/** @type {Job} */ (shown).id));
  }

  return {
    element,
    /** @param {Job | null} job */
    show(job) {
      shown = job;
      const appears = element.hidden && job !== null && !hasEnded(job);
      element.hidden = !job || job.status === "done";
      if (appears) element.scrollIntoView({ block: "nearest" });
      if (!job) return;
      const ended = hasEnded(job);
      fill(says, inWords(job));
      says.classList.toggle("error", job.status === "failed");
      end.hidden = ended;
      again.hidden = job.status !== "failed" && job.status !== "cancelled";
      bar.element.hidden = ended;
      bar.element.classList.toggle("unknown", !(job.total > 1));
      bar.set(job.total > 1 ? job.step / job.total : 1);
    },
  };
}

/** Runs it, and says what went wrong. @param {Jobs} jobs @param {() => Promise<unknown>} work */
export async function guarded(jobs, work) {
  try {
    await work();
  } catch (error) {
    jobs.studio.toast(/** @type {Error} */ (error).message, { kind: "error" });
  }
}
