// @ts-check
/** Which part of the map is seen: world coordinates, y upwards, to pixels of the page, y down. */

const CLOSEST = 400; // times nearer than the whole
const FARTHEST = 0.5;
const SIDE = 44; // px kept free at either side
const NARROW = 560; // px

export class Camera {
  constructor() {
    this.x = 0;
    this.y = 0;
    this.scale = 1; // pixels for one unit of the world
    this.whole = 1; // the scale that shows all
    this.width = 1;
    this.height = 1;
  }

  /** @param {number} width @param {number} height in pixels of the page */
  resize(width, height) {
    this.width = width;
    this.height = height;
  }

  /** Shows all of the world. @param {number[]} bounds x0, y0, x1, y1 */
  fit([x0, y0, x1, y1]) {
    const side = Math.min(SIDE, this.width / 8);
    const rows = this.width < NARROW ? 2 : 1; // of what stands at the top
    const [top, bottom] = [Math.min(30 + 44 * rows, this.height / 3), Math.min(96, this.height / 4)];
    const across = (this.width - 2 * side) / Math.max(x1 - x0, 1e-9);
    const down = (this.height - top - bottom) / Math.max(y1 - y0, 1e-9);
    this.scale = this.whole = Math.max(1e-9, Math.min(across, down));
    this.x = (x0 + x1) / 2;
    this.y = (y0 + y1) / 2 + (top - bottom) / 2 / this.scale;
  }

  /** How much nearer than the whole. */
  get zoom() {
    return this.scale / this.whole;
  }

  /** @param {number} x of the page */
  worldX(x) {
    return this.x + (x - this.width / 2) / this.scale;
  }

  /** @param {number} y of the page */
  worldY(y) {
    return this.y - (y - this.height / 2) / this.scale;
  }

  /** @param {number} x of the world */
  pageX(x) {
    return (x - this.x) * this.scale + this.width / 2;
  }

  /** @param {number} y of the world */
  pageY(y) {
    return (this.y - y) * this.scale + this.height / 2;
  }

  /** @param {number} dx @param {number} dy in pixels of the page */
  pan(dx, dy) {
    this.x -= dx / this.scale;
    this.y += dy / this.scale;
  }

  /** Nearer by a factor, while the point under (x, y) stays. @param {number} factor
   * @param {number} x @param {number} y */
  zoomAt(factor, x, y) {
    const wx = this.worldX(x);
    const wy = this.worldY(y);
    const scale = this.scale * factor;
    this.scale = Math.min(this.whole * CLOSEST, Math.max(this.whole * FARTHEST, scale));
    this.x = wx - (x - this.width / 2) / this.scale;
    this.y = wy + (y - this.height / 2) / this.scale;
  }
}
