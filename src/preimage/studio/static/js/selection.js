// @ts-check
/** The items that a lasso or a search holds, told to whoever listens. */

export class Selection {
  constructor() {
    /** @type {number[]} */
    this.indices = [];
    /** @type {Set<(indices: number[]) => void>} */
    this.listeners = new Set();
  }

  get() {
    return this.indices;
  }

  /** @param {number[]} indices */
  set(indices) {
    this.indices = indices;
    for (const listener of this.listeners) listener(indices);
  }

  /** @param {(indices: number[]) => void} listener */
  subscribe(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}
