// @ts-check
/**
 * What the server tells by itself: jobs and the map's progress; and "open" when the connection is,
 * with whether there was one before: what was told since that was lost must be asked for.
 */

import { lasting } from "./socket.js";

/** @returns {{subscribe: (kind: string, fn: (value: any) => void) => () => void}} */
export function openEvents() {
  /** @type {Map<string, Set<(value: any) => void>>} */
  const listeners = new Map();
  let again = false;

  /** @param {string} kind @param {any} value */
  function tell(kind, value) {
    for (const listener of listeners.get(kind) ?? []) listener(value);
  }

  lasting("events", {
    open() {
      tell("open", again);
      again = true;
    },
    message(data) {
      for (const [kind, value] of Object.entries(JSON.parse(data))) tell(kind, value);
    },
  });
  return {
    subscribe(kind, listener) {
      const all = listeners.get(kind) ?? new Set();
      listeners.set(kind, all.add(listener));
      return () => all.delete(listener);
    },
  };
}
