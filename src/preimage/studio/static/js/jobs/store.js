// @ts-check
/** The jobs of the studio, as the server tells of them; one for all panels. */

/** @typedef {import("../types.js").Studio} Studio */
/**
 * @typedef {{id: string, kind: string, title: string, created: number, revision: number,
 *   status: "queued" | "running" | "done" | "failed" | "cancelled", stage: string, step: number,
 *   total: number, time: number | null, metrics: Record<string, number>, preview: number,
 *   message: string, result: Record<string, any> | null,
 *   points?: Record<string, number>[], log_tail?: string}} Job
 */

const ENDED = ["done", "failed", "cancelled"];

/** @param {Job} job */
export const hasEnded = (job) => ENDED.includes(job.status);

export class Jobs {
  /** @param {Studio} studio */
  constructor(studio) {
    this.studio = studio;
    /** @type {Map<string, Job>} the newest last */
    this.all = new Map();
    /** @type {Set<(job: Job | null) => void>} */
    this.listeners = new Set();
    studio.events.subscribe("job", (job) => this.#take(job));
    studio.events.subscribe("open", (again) => this.#opened(again));
    this.load();
  }

  /** What the server knows; what it has told since it was asked is newer. */
  async load() {
    const before = new Set(this.all.keys());
    /** @type {Job[]} */
    const known = await this.studio.api("jobs");
    const since = [...this.all].filter(([id]) => !before.has(id));
    const all = known.reverse().map((job) => /** @type {const} */ ([job.id, this.#newer(job)]));
    this.all = new Map([...all, ...since.filter(([id]) => !known.some((job) => job.id === id))]);
    this.#tell(null);
  }

  /** Its server may be a new one, which counts revisions anew. @param {boolean} again */
  #opened(again) {
    if (again) for (const job of this.all.values()) job.revision = 0;
    const curves = again ? [...this.all.values()].filter((job) => job.points?.length) : [];
    this.load()
      .then(() => Promise.all(curves.map((job) => this.whole(job.id))))
      .catch(() => {}); // it is gone once more, and will be asked when it is back
  }

  /** What is known of a job with this. @param {Job} job @returns {Job} */
  #newer(job) {
    const before = this.all.get(job.id);
    return before && before.revision > job.revision ? before : { ...before, ...job };
  }

  /** @param {string} kind @param {Record<string, any>} body @returns {Promise<Job>} */
  async start(kind, body) {
    const job = await this.studio.api("jobs", { body: { kind, ...body } });
    this.#take(job);
    return job;
  }

  /** With its curves and the end of its log. @param {string} id */
  async whole(id) {
    this.#take(await this.studio.api(`jobs/${id}`));
    return this.all.get(id);
  }

  /** @param {string} id */
  async cancel(id) {
    this.#take(await this.studio.api(`jobs/${id}`, { method: "DELETE" }));
  }

  /** @param {string} id */
  async again(id) {
    this.#take(await this.studio.api(`jobs/${id}/again`, { body: {} }));
  }

  /** @param {string} id */
  async remove(id) {
    await this.studio.api(`jobs/${id}/remove`, { body: {} });
    this.all.delete(id);
    this.#tell(null);
  }

  /** The newest of a kind of which this holds. @param {string} kind
   * @param {(job: Job) => boolean} [holds] */
  latest(kind, holds = () => true) {
    return [...this.all.values()].reverse().find((job) => job.kind === kind && holds(job)) ?? null;
  }

  /** @param {(job: Job | null) => void} listener told of a job, or of null when all are new */
  subscribe(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Told of one job alone, also when all are new.
   * @param {() => string | null} id which it is at the time @param {(job: Job) => void} listener */
  follow(id, listener) {
    return this.subscribe((job) => {
      const followed = id();
      const one = job ?? this.all.get(followed ?? "");
      if (one && one.id === followed) listener(one);
    });
  }

  /** What an answer says may be older than an event that has overtaken it. @param {Job} job */
  #take(job) {
    const before = this.all.get(job.id);
    if (before && before.revision > job.revision) return;
    if (before && hasEnded(before) && !hasEnded(job) && job.step < before.step) before.points = [];
    const points = job.points ?? before?.points ?? [];
    if (!job.points && Object.keys(job.metrics).length && points.at(-1)?.time !== job.time) {
      points.push({ step: job.step, time: job.time ?? 0, ...job.metrics });
    }
    const known = { ...before, ...job, points };
    this.all.set(job.id, known);
    this.#tell(known);
  }

  /** @param {Job | null} job */
  #tell(job) {
    for (const listener of this.listeners) listener(job);
  }
}

/** @type {WeakMap<Studio, Jobs>} */
const stores = new WeakMap();

/** @param {Studio} studio */
export function jobsOf(studio) {
  let jobs = stores.get(studio);
  if (!jobs) stores.set(studio, (jobs = new Jobs(studio)));
  return jobs;
}
