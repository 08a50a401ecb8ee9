// @ts-check
/** A picture to paint on: a mask of the model's own pixels, by hand, pen or keys. */

import { h } from "../dom.js";

const TINT = [228, 88, 24, 165];
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * @param {{width: number, height: number, changed: () => void}} settings
 */
export function pad({ width, height, changed }) {
  const picture = h("canvas", { width, height, "aria-hidden": "true" });
  const canvas = h("canvas", {
    width,
    height,
    tabIndex: 0,
    role: "img",
    "aria-label": "Paint over what is to be filled. With keys: arrows move, Space paints, Backspace erases.",
  });
  const element = h("div", { class: "pad" }, picture, canvas);
  element.style.setProperty("--ratio", `${width} / ${height}`);
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = context.createImageData(width, height);
  /** @type {Uint8Array} */
  let mask = new Uint8Array(width * height);
  /** @type {Uint8Array[]} */
  const past = [];
  let radius = 3;
  let erasing = false;
  /** @type {[number, number] | null} */
  let last = null;
  /** @type {[number, number] | null} where the brush is, shown as a ring */
  let over = null;

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    remember();
    last = at(event);
    stroke(last, last, erasing || event.button === 2 || event.shiftKey);
  });
  canvas.addEventListener("pointermove", (event) => {
    over = at(event);
    if (last) {
      for (const each of event.getCoalescedEvents?.() ?? [event]) {
        const place = at(each);
        stroke(last, place, erasing || (event.buttons & 2) !== 0 || event.shiftKey);
        last = place;
      }
    }
    draw();
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, () => {
      if (last) changed();
      last = null;
    });
  }
  canvas.addEventListener("pointerleave", () => {
    over = null;
    draw();
  });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("keydown", (event) => {
    const by = KEYS[/** @type {keyof typeof KEYS} */ (event.key)];
    over ??= [width / 2, height / 2];
    if (by) {
      const far = event.shiftKey ? 4 : 1;
      over = [clamp(over[0] + by[0] * far, width), clamp(over[1] + by[1] * far, height)];
      draw();
    } else if (event.key === " " || event.key === "Backspace") {
      remember();
      stroke(over, over, event.key === "Backspace");
      changed();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  canvas.addEventListener("blur", () => {
    over = null;
    draw();
  });

  /** @param {number} value @param {number} most */
  const clamp = (value, most) => Math.min(most - 0.5, Math.max(0.5, value));

  /** @param {PointerEvent} event @returns {[number, number]} in pixels of the model */
  function at(event) {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
  }

  function remember() {
    past.push(mask.slice());
    if (past.length > 50) past.shift();
  }

  /** All pixels within the brush of a line. @param {[number, number]} a @param {[number, number]} b
   * @param {boolean} erase */
  function stroke([x0, y0], [x1, y1], erase) {
    const [dx, dy] = [x1 - x0, y1 - y0];
    const long = dx * dx + dy * dy || 1e-9;
    const reach = Math.max(radius, 0.5);
    const [top, bottom] = [Math.floor(Math.min(y0, y1) - reach), Math.ceil(Math.max(y0, y1) + reach)];
    const [left, right] = [Math.floor(Math.min(x0, x1) - reach), Math.ceil(Math.max(x0, x1) + reach)];
    for (let y = Math.max(0, top); y < Math.min(height, bottom); y++) {
      for (let x = Math.max(0, left); x < Math.min(width, right); x++) {
        const t = Math.min(1, Math.max(0, ((x + 0.5 - x0) * dx + (y + 0.5 - y0) * dy) / long));
        const far = Math.hypot(x + 0.5 - x0 - t * dx, y + 0.5 - y0 - t * dy);
        if (far <= reach) mask[y * width + x] = erase ? 0 : 1;
      }
    }
    draw();
  }

  function draw() {
    for (let i = 0; i < mask.length; i++) {
      for (let k = 0; k < 4; k++) image.data[4 * i + k] = mask[i] ? TINT[k] : 0;
    }
    context.putImageData(image, 0, 0);
    if (!over) return;
    context.lineWidth = Math.max(0.5, width / 200);
    for (const [colour, grow] of /** @type {[string, number][]} */ ([["rgb(0 0 0 / 70%)", 0.4], ["white", 0]])) {
      context.strokeStyle = colour;
      context.beginPath();
      context.arc(over[0], over[1], radius + grow, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  return {
    element,
    picture,
    /** @param {number} size in pixels of the model */
    brush(size) {
      radius = size / 2;
      draw();
    },
    /** @param {boolean} on */
    erase(on) {
      erasing = on;
    },
    clear() {
      remember();
      mask = new Uint8Array(mask.length);
      draw();
      changed();
    },
    invert() {
      remember();
      mask = mask.map((one) => 1 - one);
      draw();
      changed();
    },
    undo() {
      mask = past.pop() ?? mask;
      draw();
      changed();
    },
    marked: () => mask.reduce((sum, one) => sum + one, 0),
    canUndo: () => past.length > 0,
    /** The mask as the server takes it: base64 of a byte a pixel. */
    text: () => btoa(String.fromCharCode(...mask)),
  };
}
