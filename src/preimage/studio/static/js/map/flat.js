// @ts-check
/** The map where there is no WebGL2: discs written into pixels, thumbnails by drawImage. */

/** @typedef {import("./scene.js").Scene} Scene */

/** @param {HTMLCanvasElement} canvas */
export function openFlat(canvas) {
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  /** @type {ImageData | null} */
  let image = null;
  let pixels = new Uint32Array(0);

  /** @param {Scene} scene */
  function draw(scene) {
    const { width, height } = canvas;
    if (!image || image.width !== width || image.height !== height) {
      image = context.createImageData(width, height);
      pixels = new Uint32Array(image.data.buffer);
    }
    pixels.fill(0);
    drawDiscs(scene, width, height);
    context.putImageData(image, 0, 0);
    drawThumbs(scene);
  }

  /** Those that are lit lie above the others. @param {Scene} scene @param {number} width
   * @param {number} height */
  function drawDiscs({ camera, points, colours, lit, n, disc, ratio }, width, height) {
    const ink = new Uint32Array(colours.buffer, 0, n);
    const radius = Math.max(1, (disc * ratio) / 2);
    const reach = Math.floor(radius);
    const halves = Array.from({ length: 2 * reach + 1 }, (_, k) =>
      Math.floor(Math.sqrt((radius + 0.3) ** 2 - (k - reach) ** 2)),
    );
    const scale = camera.scale * ratio;
    for (const above of [0, 1]) {
      for (let i = 0; i < n; i += 1) {
        if (lit[i] !== above) continue;
        const x = Math.round((points[2 * i] - camera.x) * scale + width / 2);
        const y = Math.round((camera.y - points[2 * i + 1]) * scale + height / 2);
        if (x <= reach || y <= reach || x >= width - reach - 1 || y >= height - reach - 1) continue;
        for (let k = 0; k <= 2 * reach; k += 1) {
          const middle = (y + k - reach) * width + x;
          for (let at = middle - halves[k]; at <= middle + halves[k]; at += 1) pixels[at] = ink[i];
        }
      }
    }
  }

  /** @param {Scene} scene */
  function drawThumbs({ camera, points, colours, levels, sheets, thumb, edge, ratio }) {
    if (!sheets) return;
    const { tile, columns } = sheets.atlas;
    const size = thumb * ratio;
    const border = (edge * size) / 2;
    for (let k = 0; k < levels.count; k += 1) {
      const i = levels.chosen[k];
      const sheet = sheets.get(sheets.sheetOf(i));
      if (!sheet) continue;
      const at = i % sheets.each;
      const left = camera.pageX(points[2 * i]) * ratio - size / 2;
      const top = camera.pageY(points[2 * i + 1]) * ratio - size / 2;
      if (border > 0) {
        context.fillStyle = `rgb(${colours[4 * i]} ${colours[4 * i + 1]} ${colours[4 * i + 2]})`;
        context.fillRect(left, top, size, size);
      }
      const [sx, sy] = [(at % columns) * tile, Math.floor(at / columns) * tile];
      const inner = size - 2 * border;
      context.drawImage(sheet, sx, sy, tile, tile, left + border, top + border, inner, inner);
    }
  }

  return { draw, recolour() {}, kind: "canvas" };
}
