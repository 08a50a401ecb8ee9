// @ts-check
/** What the server tells by itself: jobs and the map's progress. */

import { lasting } from "./socket.js";

/** @returns {{subscribe: (kind: string, fn: (value: any) => void) => () => void}} */
export function openEvents() {
  /** @type {Map<string, Set<(value: any) => void>>} */
  const listeners = new Map();
  lasting("events", {
    message(data) {
      for (const [kind, value] of Object.entries(JSON.parse(data))) {
        for (const listener of listeners.get(kind) ?? []) listener(value);
      }
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
