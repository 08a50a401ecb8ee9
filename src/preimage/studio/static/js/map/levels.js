// @ts-check
/**
 * Level of detail for thumbnails: one a cell, the lowest index of those in it. Cells are powers of
 * two in size and lie still in the world, so what is chosen far away stays chosen nearer.
 */

const MOST = 12000; // thumbnails in one picture

export class Levels {
  /** @param {import("./grid.js").Grid} grid */
  constructor(grid) {
    this.grid = grid;
    this.chosen = new Int32Array(MOST);
    this.count = 0;
    this.cells = new Int32Array(0);
  }

  /**
   * The thumbnails to draw, in rising order, as `chosen` up to `count`; nothing is made anew.
   * @param {import("./camera.js").Camera} camera
   * @param {number} spacing least pixels between two of them
   * @param {Uint8Array} lit which points may be chosen
   */
  choose(camera, spacing, lit) {
    const size = 2 ** Math.ceil(Math.log2(spacing / camera.scale) - 0.5);
    const left = Math.floor(camera.worldX(0) / size) - 1;
    const bottom = Math.floor(camera.worldY(camera.height) / size) - 1;
    const columns = Math.ceil(camera.width / camera.scale / size) + 3;
    const rows = Math.ceil(camera.height / camera.scale / size) + 3;
    if (this.cells.length < columns * rows) this.cells = new Int32Array(columns * rows * 2);
    const { cells, grid } = this;
    const { points } = grid;
    cells.fill(-1, 0, columns * rows);
    grid.each(
      left * size,
      bottom * size,
      (left + columns) * size,
      (bottom + rows) * size,
      (i) => {
        if (!lit[i]) return;
        const column = Math.floor(points[2 * i] / size) - left;
        const row = Math.floor(points[2 * i + 1] / size) - bottom;
        if (column < 0 || row < 0 || column >= columns || row >= rows) return;
        const cell = row * columns + column;
        if (cells[cell] < 0 || i < cells[cell]) cells[cell] = i;
      },
    );
    let count = 0;
    for (let cell = 0; cell < columns * rows && count < MOST; cell += 1) {
      if (cells[cell] >= 0) this.chosen[count++] = cells[cell];
    }
    this.chosen.subarray(0, count).sort();
    this.count = count;
  }

  /** The thumbnail under a point of the page, the topmost first, or −1.
   * @param {import("./camera.js").Camera} camera @param {number} x @param {number} y
   * @param {number} size of a thumbnail in pixels */
  at(camera, x, y, size) {
    const { points } = this.grid;
    for (let k = this.count - 1; k >= 0; k -= 1) {
      const i = this.chosen[k];
      const dx = Math.abs(camera.pageX(points[2 * i]) - x);
      const dy = Math.abs(camera.pageY(points[2 * i + 1]) - y);
      if (dx <= size / 2 && dy <= size / 2) return i;
    }
    return -1;
  }
}
