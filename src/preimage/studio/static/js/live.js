// @ts-check
/**
 * Pictures decoded while the hand moves: at most one request is under way, and of those that wait
 * only the newest is kept, so the picture is never older than one decode.
 *
 * Of the slider that is moved, the pictures at its other places are asked for as well, to be made
 * while nobody waits. What is held already is shown at once.
 *
 * A reply is a header of 20 bytes, little-endian, then rows of uint8:
 * u32 id, u16 width, u16 height, u8 channels, u8 flags, u16 place, f32 fade, f32 ms.
 */

import { lasting } from "./socket.js";

/** @typedef {import("./types.js").Args} Args */
/** @typedef {import("./types.js").Frame} Frame */

const HEADER = 20;
const IS_ERROR = 1;
const IS_AHEAD = 2;
const MOST_BYTES = 1 << 23; // of a slider's pictures
const MOST_MS = 2000; // of making them, at what the quickest so far took

/** @param {ArrayBuffer} buffer @param {Args} args @param {number} sent @returns {Frame} */
export function parse(buffer, args, sent) {
  const view = new DataView(buffer);
  const bytes = new Uint8Array(buffer, HEADER);
  const failed = (view.getUint8(9) & IS_ERROR) !== 0;
  return {
    id: view.getUint32(0, true),
    args,
    width: view.getUint16(4, true),
    height: view.getUint16(6, true),
    channels: view.getUint8(8),
    fade: view.getFloat32(12, true),
    ms: view.getFloat32(16, true),
    wait: performance.now() - sent,
    pixels: bytes,
    error: failed ? JSON.parse(new TextDecoder().decode(bytes)) : null,
  };
}

/** Arguments by what they say, in whatever order. @param {Args} args */
function key({ base, moves, dims, label }) {
  return JSON.stringify([base, Object.entries(moves).sort(), Object.entries(dims).sort(), label]);
}

export class Live {
  constructor() {
    /** @type {Set<(frame: Frame) => void>} */
    this.listeners = new Set();
    /** @type {Set<(up: boolean) => void>} */
    this.watchers = new Set();
    /** @type {{id: number, args: Args, sent: number, late: boolean} | null} */
    this.underway = null;
    /** @type {{id: number, of: string, keys: string[]} | null} the slider drawn ahead */
    this.slider = null;
    /** @type {Map<string, ArrayBuffer>} replies held, by the key of their arguments */
    this.held = new Map();
    /** Of one picture, as those so far were. */
    this.cost = { bytes: 0, ms: Infinity };
    /** @type {(() => void) | null} asks again for the slider that would have taken too long */
    this.again = null;
    /** @type {Args | null} */
    this.waiting = null;
    /** @type {Args | null} */
    this.newest = null;
    this.next = 1;
    this.up = false;
    this.socket = lasting("live", {
      open: () => {
        this.#turn(true);
        this.underway = null;
        this.forget();
        this.waiting ??= this.newest;
        this.#send();
      },
      message: (data) => this.#arrived(data),
      lost: () => this.#turn(false),
    });
  }

  /** Shows a picture that is held, or asks for it: at once when nothing is under way.
   * @param {Args} args */
  want(args) {
    this.newest = args;
    const held = this.held.size > 0 ? this.held.get(key(args)) : undefined;
    if (held) {
      this.waiting = null;
      if (this.underway) this.underway.late = true;
      this.#tell(parse(held, args, performance.now()));
      return;
    }
    this.waiting = args;
    if (!this.underway) this.#send();
  }

  /**
   * Has the pictures at a slider's other places made, the nearest first, if that is soon done: now,
   * or once a picture shows it to be so. A model's first picture is no measure of the others.
   *
   * @param {string} along "moves.NAME", "dims.INDEX" or "base.t"
   * @param {number} here where the slider is
   * @param {number[]} places where it can be
   * @param {(place: number) => Args} at what is shown there
   */
  ahead(along, here, places, at) {
    const of = `${along} ${key(at(0))}`;
    this.again = null;
    if (this.slider?.of === of) return;
    const { bytes, ms } = this.cost;
    if (places.length * bytes > MOST_BYTES) return;
    if (places.length * ms > MOST_MS) {
      this.again = () => this.ahead(along, here, places, at);
      return;
    }
    const values = [...places].sort((a, b) => Math.abs(a - here) - Math.abs(b - here));
    const id = this.next++;
    if (!this.socket.send(JSON.stringify({ id, args: at(here), along, values }))) return;
    this.held.clear();
    this.slider = { id, of, keys: values.map((place) => key(at(place))) };
  }

  /** What is held is no longer true. */
  forget() {
    this.slider = null;
    this.held.clear();
  }

  /** What is shown has changed, although its arguments have not. @param {Args} args */
  renew(args) {
    this.forget();
    this.want(args);
  }

  /** @param {(frame: Frame) => void} listener */
  subscribe(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Told whenever the connection is lost or back. @param {(up: boolean) => void} watcher */
  watch(watcher) {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  /** @param {boolean} up */
  #turn(up) {
    if (up === this.up && up) return;
    this.up = up;
    for (const watcher of this.watchers) watcher(up);
  }

  #send() {
    const args = this.waiting;
    if (!args) return;
    const id = this.next++;
    if (!this.socket.send(JSON.stringify({ id, args }))) return;
    this.underway = { id, args, sent: performance.now(), late: false };
    this.waiting = null;
  }

  /** @param {ArrayBuffer} buffer */
  #arrived(buffer) {
    const view = new DataView(buffer);
    const id = view.getUint32(0, true);
    if (view.getUint8(9) & IS_AHEAD) {
      if (id === this.slider?.id) this.held.set(this.slider.keys[view.getUint16(10, true)], buffer);
      return;
    }
    const asked = this.underway;
    if (!asked || id !== asked.id) return;
    this.underway = null;
    this.#send();
    if (asked.late) return; // a newer one is shown, which was held
    this.#tell(parse(buffer, asked.args, asked.sent));
  }

  /** @param {Frame} frame */
  #tell(frame) {
    if (!frame.error) this.cost = { bytes: frame.pixels.length, ms: Math.min(this.cost.ms, frame.ms) };
    for (const listener of this.listeners) listener(frame);
    this.again?.();
  }
}
