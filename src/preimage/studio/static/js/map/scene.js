// @ts-check
/** What a renderer of the map is given: points, colours, which are lit, and how large. */

import { Camera } from "./camera.js";
import { paintColours } from "./colours.js";
import { Grid } from "./grid.js";
import { Levels } from "./levels.js";

/** @typedef {import("./colours.js").Column} Column */
/** @typedef {"auto" | "dots" | "images"} Mode */

const APART = 2.6; // thumbnails' widths between them from afar, with dots in between
const CLOSE = 0.92; // and from near, or where only images are drawn
const DISC = [2.5, 9]; // px, least and most

export class Scene {
  constructor() {
    this.camera = new Camera();
    this.ratio = 1; // device pixels a pixel
    this.n = 0;
    this.bounds = [0, 0, 1, 1];
    this.points = new Float32Array(0);
    this.colours = new Uint8Array(0);
    this.lit = new Uint8Array(0);
    this.grid = new Grid(this.points);
    this.levels = new Levels(this.grid);
    /** @type {import("./sheets.js").Sheets | null} */
    this.sheets = null;
    /** @type {Column | null} */
    this.column = null;
    /** @type {Float32Array | null} */
    this.values = null;
    /** @type {Mode} */
    this.mode = "auto";
    this.size = 34; // px of a thumbnail, as asked
    this.thumb = 34; // px of a thumbnail, as drawn
    this.disc = 5; // px
    this.edge = 0.12; // share of a thumbnail that its coloured border takes
  }

  /** @param {Float32Array} points (n, 2) @param {number[]} bounds */
  load(points, bounds) {
    this.points = points;
    this.n = points.length / 2;
    this.bounds = bounds;
    this.colours = new Uint8Array(4 * this.n);
    this.lit = new Uint8Array(this.n).fill(1);
    this.grid = new Grid(points);
    this.levels = new Levels(this.grid);
    this.camera.fit(bounds);
  }

  /** @param {import("./colours.js").Theme} theme */
  paint(theme) {
    paintColours(this.colours, this.column, this.values, this.lit, theme);
  }

  /** Before every picture: sizes, and which thumbnails. */
  prepare() {
    const { zoom } = this.camera;
    const room = 180 / Math.sqrt(Math.max(1, this.n));
    this.disc = Math.min(DISC[1], Math.max(DISC[0], room * 1.6 * zoom ** 0.4));
    this.thumb = Math.round(Math.min(this.size * 2, this.size * Math.max(1, zoom) ** 0.18));
    const crowd = Math.max(0, Math.log10(this.n / (400 * zoom ** 2)));
    const apart = this.mode === "images" ? CLOSE : Math.min(APART, CLOSE + crowd);
    this.edge = this.column ? Math.min(0.2, 4 / this.thumb) : 0;
    if (this.mode === "dots" || !this.sheets) this.levels.count = 0;
    else this.levels.choose(this.camera, this.thumb * apart, this.lit);
  }

  /** The point under a place of the page, or −1. @param {number} x @param {number} y */
  at(x, y) {
    const thumb = this.levels.at(this.camera, x, y, this.thumb);
    if (thumb >= 0) return thumb;
    const reach = Math.max(5, this.disc / 2 + 2) / this.camera.scale;
    return this.grid.nearest(this.camera.worldX(x), this.camera.worldY(y), reach);
  }
}
