// @ts-check
/** Points in cells, sorted by counting: what is near a point, inside a loop, or in view. */

const PER_CELL = 6;

export class Grid {
  /** @param {Float32Array} points x, y of each */
  constructor(points) {
    this.points = points;
    const n = points.length / 2;
    let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
    for (let i = 0; i < n; i += 1) {
      x0 = Math.min(x0, points[2 * i]);
      x1 = Math.max(x1, points[2 * i]);
      y0 = Math.min(y0, points[2 * i + 1]);
      y1 = Math.max(y1, points[2 * i + 1]);
    }
    this.x0 = n ? x0 : 0;
    this.y0 = n ? y0 : 0;
    const side = Math.max(1, Math.ceil(Math.sqrt(n / PER_CELL)));
    this.side = side;
    this.cell = Math.max((x1 - x0) / side, (y1 - y0) / side, 1e-9) * 1.0001;
    this.starts = new Int32Array(side * side + 1);
    this.order = new Int32Array(n);
    const cells = new Int32Array(n);
    for (let i = 0; i < n; i += 1) {
      cells[i] = this.#row(points[2 * i + 1]) * side + this.#column(points[2 * i]);
      this.starts[cells[i] + 1] += 1;
    }
    for (let c = 0; c < side * side; c += 1) this.starts[c + 1] += this.starts[c];
    const next = this.starts.slice(0, -1);
    for (let i = 0; i < n; i += 1) this.order[next[cells[i]]++] = i;
  }

  /** @param {number} x */
  #column(x) {
    return Math.min(this.side - 1, Math.max(0, Math.floor((x - this.x0) / this.cell)));
  }

  /** @param {number} y */
  #row(y) {
    return Math.min(this.side - 1, Math.max(0, Math.floor((y - this.y0) / this.cell)));
  }

  /** Calls `visit` with every point whose cell touches the box. @param {number} x0
   * @param {number} y0 @param {number} x1 @param {number} y1 @param {(index: number) => void} visit */
  each(x0, y0, x1, y1, visit) {
    const [left, right] = [this.#column(x0), this.#column(x1)];
    const [bottom, top] = [this.#row(y0), this.#row(y1)];
    for (let row = bottom; row <= top; row += 1) {
      const from = this.starts[row * this.side + left];
      const to = this.starts[row * this.side + right + 1];
      for (let k = from; k < to; k += 1) visit(this.order[k]);
    }
  }

  /** The nearest point within `radius`, or −1. @param {number} x @param {number} y
   * @param {number} radius */
  nearest(x, y, radius) {
    let best = -1;
    let least = radius * radius;
    this.each(x - radius, y - radius, x + radius, y + radius, (i) => {
      const dx = this.points[2 * i] - x;
      const dy = this.points[2 * i + 1] - y;
      const far = dx * dx + dy * dy;
      if (far <= least) {
        least = far;
        best = i;
      }
    });
    return best;
  }

  /** The points inside a loop, by the even-odd rule, in rising order.
   * @param {number[]} loop x, y of its corners @returns {number[]} */
  inside(loop) {
    const xs = loop.filter((_, i) => i % 2 === 0);
    const ys = loop.filter((_, i) => i % 2 === 1);
    /** @type {number[]} */
    const found = [];
    this.each(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys), (i) => {
      const x = this.points[2 * i];
      const y = this.points[2 * i + 1];
      let odd = false;
      for (let a = xs.length - 1, b = 0; b < xs.length; a = b, b += 1) {
        const crosses = ys[a] > y !== ys[b] > y;
        if (crosses && x < ((xs[a] - xs[b]) * (y - ys[b])) / (ys[a] - ys[b]) + xs[b]) odd = !odd;
      }
      if (odd) found.push(i);
    });
    return found.sort((a, b) => a - b);
  }
}
