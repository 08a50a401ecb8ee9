// @ts-check
/**
 * The one state of the page: `args`, its history, and the address bar that holds it.
 *
 * A *preview* is shown but not kept: what the pointer passes over on the map. Edits that share a
 * `gesture` (one drag of one slider) make one step of the history.
 */

/** @typedef {import("./types.js").Args} Args */
/** @typedef {"set" | "preview" | "undo" | "address"} Why */

const LONGEST = 200;
const PAUSE = 900; // ms after which the same gesture is a new step
const EMPTY = { base: { kind: "mean" }, moves: {}, dims: {}, label: null };

/** @param {unknown} value @returns {string} */
export function encode(value) {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** @param {string} text @returns {Args | null} null where it is no state of a studio */
export function decode(text) {
  try {
    const bytes = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    const value = JSON.parse(
      new TextDecoder().decode(Uint8Array.from(bytes, (letter) => letter.charCodeAt(0))),
    );
    return value && typeof value.base === "object" && value.base ? { ...EMPTY, ...value } : null;
  } catch {
    return null;
  }
}

/** Two states are the same when they read the same. @param {Args} a @param {Args} b */
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

export class Store {
  /** @param {Args} first */
  constructor(first) {
    /** @type {Args[]} */
    this.past = [first];
    this.at = 0;
    /** @type {Args | null} */
    this.passing = null;
    this.gesture = "";
    this.touched = 0;
    this.writing = 0;
    /** @type {Set<(args: Args, why: Why) => void>} */
    this.listeners = new Set();
    window.addEventListener("hashchange", () => this.#read());
  }

  /** What is kept; the preview is in `shown()`. */
  get() {
    return this.past[this.at];
  }

  shown() {
    return this.passing ?? this.get();
  }

  /** @param {Args} args @param {{gesture?: string}} [options] */
  set(args, { gesture = "" } = {}) {
    this.passing = null;
    const now = performance.now();
    const goesOn = gesture !== "" && gesture === this.gesture && now - this.touched < PAUSE;
    if (!same(args, this.get())) {
      if (goesOn && this.at > 0) this.past.length = this.at;
      else this.past.length = this.at + 1;
      this.past.push(args);
      if (this.past.length > LONGEST) this.past.shift();
      this.at = this.past.length - 1;
    }
    this.gesture = gesture;
    this.touched = now;
    this.#tell("set");
  }

  /** @param {Partial<Args>} partial @param {{gesture?: string}} [options] */
  patch(partial, options) {
    this.set({ ...this.get(), ...partial }, options);
  }

  /** Shows `args` without keeping them; null shows what is kept. @param {Args | null} args */
  preview(args) {
    if (!args && !this.passing) return;
    this.passing = args;
    this.#tell("preview");
  }

  undo() {
    this.#step(-1);
  }

  redo() {
    this.#step(1);
  }

  get canUndo() {
    return this.at > 0;
  }

  get canRedo() {
    return this.at < this.past.length - 1;
  }

  /** @param {(args: Args, why: Why) => void} listener @returns {() => void} ends it */
  subscribe(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** @param {number} by */
  #step(by) {
    const to = this.at + by;
    if (to < 0 || to >= this.past.length) return;
    this.at = to;
    this.passing = null;
    this.gesture = "";
    this.#tell("undo");
  }

  /** Someone has changed the address. */
  #read() {
    const args = decode(location.hash.slice(1));
    if (!args || same(args, this.get())) return;
    this.set(args);
    this.#tell("address");
  }

  /** @param {Why} why */
  #tell(why) {
    if (why !== "preview") this.#write();
    const args = this.shown();
    for (const listener of this.listeners) listener(args, why);
  }

  /** The address follows, a moment later: browsers refuse too many changes a second. */
  #write() {
    clearTimeout(this.writing);
    this.writing = window.setTimeout(() => {
      history.replaceState(null, "", `#${encode(this.get())}`);
    }, 150);
  }

  /** The address of what is kept. */
  link() {
    return `${location.origin}${location.pathname}#${encode(this.get())}`;
  }
}
