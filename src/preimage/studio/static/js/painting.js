// @ts-check
/** Rows of uint8 onto a canvas, without making anything anew while the size stays. */

/** @typedef {import("./types.js").Frame} Frame */

/** @param {HTMLCanvasElement} canvas */
export function painter(canvas) {
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  /** @type {ImageData | null} */
  let image = null;

  /** @param {Frame} frame */
  return (frame) => {
    const { width, height, channels, pixels } = frame;
    if (!image || image.width !== width || image.height !== height) {
      canvas.width = width;
      canvas.height = height;
      image = context.createImageData(width, height);
      image.data.fill(255);
    }
    const out = image.data;
    const colour = channels >= 3;
    for (let from = 0, to = 0; to < out.length; from += channels, to += 4) {
      out[to] = pixels[from];
      out[to + 1] = colour ? pixels[from + 1] : pixels[from];
      out[to + 2] = colour ? pixels[from + 2] : pixels[from];
    }
    context.putImageData(image, 0, 0);
  };
}

/** A picture made elsewhere, onto a canvas of its own size. @param {HTMLCanvasElement} canvas
 * @param {Blob | ImageBitmap | string} picture bytes, a bitmap, or an address of ours */
export async function drawPicture(canvas, picture) {
  let source = picture;
  if (typeof source === "string") {
    const response = await fetch(source);
    if (!response.ok) throw new Error(`The picture is not there (${response.status}).`);
    source = await response.blob();
  }
  const bitmap = source instanceof Blob ? await createImageBitmap(source) : source;
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0);
}
