// @ts-check
/**
 * Pictures decoded while the hand moves: at most one request is under way, and of those that wait
 * only the newest is kept, so the picture is never older than one decode.
 *
 * A reply is a header of 20 bytes, little-endian, then rows of uint8:
 * u32 id, u16 width, u16 height, u8 channels, u8 flags, u16 0, f32 fade, f32 ms.
 */

import { lasting } from "./socket.js";

/** @typedef {import("./types.js").Args} Args */
/** @typedef {import("./types.js").Frame} Frame */

const HEADER = 20;
const IS_ERROR = 1;

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

export class Live {
  constructor() {
    /** @type {Set<(frame: Frame) => void>} */
    this.listeners = new Set();
    /** @type {Set<(up: boolean) => void>} */
    this.watchers = new Set();
    /** @type {{id: number, args: Args, sent: number} | null} */
    this.underway = null;
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
        this.waiting ??= this.newest;
        this.#send();
      },
      message: (data) => this.#arrived(data),
      lost: () => this.#turn(false),
    });
  }

  /** Asks for a picture; sent at once when nothing is under way. @param {Args} args */
  want(args) {
    this.newest = this.waiting = args;
    if (!this.underway) this.#send();
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
    this.underway = { id, args, sent: performance.now() };
    this.waiting = null;
  }

  /** @param {ArrayBuffer} buffer */
  #arrived(buffer) {
    const asked = this.underway;
    if (!asked || new DataView(buffer).getUint32(0, true) !== asked.id) return;
    this.underway = null;
    this.#send();
    const frame = parse(buffer, asked.args, asked.sent);
    for (const listener of this.listeners) listener(frame);
  }
}
