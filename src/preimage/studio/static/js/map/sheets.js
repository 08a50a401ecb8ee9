// @ts-check
/** Sheets of thumbnails, fetched when one of theirs is first wanted; the oldest are let go. */

import { api } from "../api.js";

const HELD = 12; // sheets of at most 2048 px, so at most 200 MB

export class Sheets {
  /**
   * @param {{tile: number, columns: number, rows: number, sheets: number}} atlas
   * @param {() => void} arrived called when another sheet is there
   */
  constructor(atlas, arrived) {
    this.atlas = atlas;
    this.each = atlas.columns * atlas.rows;
    this.arrived = arrived;
    /** @type {Map<number, ImageBitmap | null>} null while it is fetched */
    this.sheets = new Map();
    /** @type {(sheet: number) => void} */
    this.dropped = () => {};
  }

  /** @param {number} index of a point */
  sheetOf(index) {
    return Math.floor(index / this.each);
  }

  /** The sheet if it is there; else it is fetched, and `arrived` called. @param {number} sheet
   * @returns {ImageBitmap | null} */
  get(sheet) {
    const held = this.sheets.get(sheet);
    if (held) {
      this.sheets.delete(sheet); // the newest is the last in a Map's order
      this.sheets.set(sheet, held);
      return held;
    }
    if (held === undefined) this.#fetch(sheet);
    return null;
  }

  /** @param {number} sheet */
  async #fetch(sheet) {
    this.sheets.set(sheet, null);
    try {
      const bitmap = await createImageBitmap(await api(`map/atlas/${sheet}`));
      this.sheets.set(sheet, bitmap);
    } catch {
      setTimeout(() => this.sheets.delete(sheet), 3000); // asked for again, a little later
      return;
    }
    this.#letGo();
    this.arrived();
  }

  #letGo() {
    for (const [sheet, bitmap] of this.sheets) {
      if (this.sheets.size <= HELD) return;
      if (!bitmap) continue;
      this.sheets.delete(sheet);
      this.dropped(sheet);
      bitmap.close();
    }
  }
}
