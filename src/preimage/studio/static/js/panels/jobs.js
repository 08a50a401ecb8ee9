// @ts-check
/** All long work: how far it is, what it printed, and a way to end it or to go on. */

import { button, fill, h } from "../dom.js";
import { card, duration, guarded, inWords } from "../jobs/card.js";
import { hasEnded, jobsOf } from "../jobs/store.js";

/** @typedef {import("../jobs/store.js").Job} Job */

export const id = "jobs";
export const title = "Jobs";
export const icon = "jobs";
export const key = "j";
export const hint = "Long work, each piece by itself: ending one ends no other. Close the page if you like; it goes on.";

/** @param {import("../types.js").Session} session */
export const available = (session) => session.panels.jobs === true;

/** @param {HTMLElement} element @param {import("../types.js").Studio} studio */
export function mount(element, studio) {
  const jobs = jobsOf(studio);
  const none = h("p", { class: "empty" }, "Nothing has been asked for yet.");
  const list = h("div", { class: "stack jobs-list", role: "list" });
  fill(element, none, list);
  /** @type {Map<string, {element: HTMLElement, show: (job: Job) => void}>} */
  const entries = new Map();
  jobs.subscribe(update);
  update(null);

  /** @param {Job | null} job */
  function update(job) {
    none.hidden = jobs.all.size > 0;
    if (job && entries.has(job.id)) return entries.get(job.id)?.show(job);
    for (const [name, entry] of entries) {
      if (!jobs.all.has(name)) {
        entry.element.remove();
        entries.delete(name);
      }
    }
    for (const one of jobs.all.values()) {
      if (!entries.has(one.id)) {
        const made = row(one);
        entries.set(one.id, made);
        list.prepend(made.element);
      }
      entries.get(one.id)?.show(one);
    }
  }

  /** @param {Job} first */
  function row(first) {
    const name = h("strong", { class: "grow" }, first.title);
    const badge = h("span", { class: "badge" });
    const status = card(jobs);
    const log = h("pre", { class: "log", tabIndex: 0, "aria-label": `Log of ${first.title}` });
    const more = h("details", { class: "small" }, h("summary", null, "Log"), log);
    more.addEventListener("toggle", () => more.open && readLog());
    const away = button({ icon: "trash", kind: "quiet", title: `Forget ${first.title}`, onClick: () => guarded(jobs, () => jobs.remove(first.id)) });
    const made = h("div", { class: "card job", role: "listitem" }, h("div", { class: "spread" }, name, badge, away), status.element, more);

    async function readLog() {
      await guarded(jobs, async () => {
        const whole = await jobs.whole(first.id);
        log.textContent = whole?.log_tail || "Nothing was printed.";
        log.scrollTop = log.scrollHeight;
      });
    }

    return {
      element: made,
      /** @param {Job} job */
      show(job) {
        status.show(job);
        made.dataset.status = job.status;
        const took = job.time && hasEnded(job) ? ` · ${duration(job.time - job.created)}` : "";
        badge.textContent = job.status === "failed" ? "Failed" : `${hasEnded(job) ? inWords(job) : job.status}${took}`;
        away.hidden = !hasEnded(job);
        if (more.open && job.log_tail !== undefined) log.textContent = job.log_tail || "Nothing was printed.";
      },
    };
  }

  return { shown: () => void guarded(jobs, () => jobs.load()) };
}
