// @ts-check
/**
 * Hands on the map. A mouse looks as it moves, drags to pan, and clicks to hold; one finger looks,
 * two move and zoom; with the lasso (or Shift) a drag draws a loop; keys do all of it.
 */

/** @typedef {import("./camera.js").Camera} Camera */

const STILL = 4; // px that a click may move

/**
 * @param {HTMLElement} element
 * @param {Camera} camera
 * @param {{look: (x: number, y: number) => void, leave: () => void, pin: (x: number, y: number) => void,
 *   moved: () => void, loop: (corners: number[], done: boolean) => void,
 *   lassoing: () => boolean, fit: () => void}} map
 */
export function openPointer(element, camera, map) {
  /** @type {Map<number, {x: number, y: number}>} */
  const down = new Map();
  /** @type {number[]} */
  let loop = [];
  let travelled = 0;
  let drawing = false;
  let spread = 0;
  let fingers = 0; // the most at once since the first came down

  /** @param {PointerEvent | WheelEvent} event */
  const place = (event) => {
    const box = element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };

  element.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.button !== 0) return;
    element.setPointerCapture(event.pointerId);
    const { x, y } = place(event);
    down.set(event.pointerId, { x, y });
    fingers = Math.max(fingers, down.size);
    if (down.size === 1) {
      travelled = 0;
      drawing = map.lassoing() || event.shiftKey;
      loop = drawing ? [x, y] : [];
      if (drawing) map.leave();
      if (event.pointerType === "touch" && !drawing) map.look(x, y);
    } else {
      drawing = false;
      map.loop([], true);
      spread = distance();
    }
  });

  element.addEventListener("pointermove", (event) => {
    const { x, y } = place(event);
    const before = down.get(event.pointerId);
    if (!before) {
      if (event.pointerType !== "touch") map.look(x, y);
      return;
    }
    const [dx, dy] = [x - before.x, y - before.y];
    travelled += Math.abs(dx) + Math.abs(dy);
    down.set(event.pointerId, { x, y });
    if (drawing) {
      loop.push(x, y);
      map.loop(loop, false);
    } else if (down.size === 2) pinch(dx, dy);
    else if (event.pointerType === "touch" && fingers === 1) map.look(x, y);
    else if (event.pointerType !== "touch" && travelled > STILL) {
      camera.pan(dx, dy);
      element.classList.add("panning");
      map.leave();
      map.moved();
    }
  });

  /** @param {PointerEvent} event */
  function up(event) {
    if (!down.delete(event.pointerId)) return;
    element.classList.remove("panning");
    if (down.size > 0) return;
    const { x, y } = place(event);
    const whole = event.type === "pointerup";
    if (drawing) map.loop(loop, true);
    else if (whole && fingers === 1 && (travelled <= STILL || event.pointerType === "touch")) map.pin(x, y);
    if (event.pointerType === "touch") map.leave();
    drawing = false;
    fingers = 0;
  }
  element.addEventListener("pointerup", up);
  element.addEventListener("pointercancel", up);
  element.addEventListener("pointerleave", () => down.size === 0 && map.leave());

  /** @param {number} dx @param {number} dy of one of the two fingers */
  function pinch(dx, dy) {
    const next = distance();
    const [a, b] = [...down.values()];
    camera.pan(dx / 2, dy / 2);
    if (spread > 0) camera.zoomAt(next / spread, (a.x + b.x) / 2, (a.y + b.y) / 2);
    spread = next;
    map.leave();
    map.moved();
  }

  function distance() {
    const [a, b] = [...down.values()];
    return Math.hypot(a.x - b.x, a.y - b.y);
  }

  element.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const { x, y } = place(event);
      const lines = event.deltaMode === 1 ? 16 : 1;
      camera.zoomAt(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0016)), x, y);
      map.moved();
      map.look(x, y);
    },
    { passive: false },
  );

  // The keyboard's own pointer, in the middle at first.
  let at = { x: NaN, y: NaN };
  const near = () => (Number.isNaN(at.x) ? { x: camera.width / 2, y: camera.height / 2 } : at);
  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { x, y } = near();
    const by = event.shiftKey ? 64 : 12;
    const step = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, -by], ArrowDown: [0, by] }[event.key];
    if (step) {
      at = { x: x + step[0], y: y + step[1] };
      const over = [edge(at.x, camera.width), edge(at.y, camera.height)];
      if (over[0] || over[1]) {
        camera.pan(-over[0], -over[1]);
        at = { x: at.x - over[0], y: at.y - over[1] };
        map.moved();
      }
      map.look(at.x, at.y);
    } else if (event.key === "Enter" || event.key === " ") map.pin(x, y);
    else if (event.key === "+" || event.key === "=") zoom(1.35, x, y);
    else if (event.key === "-" || event.key === "_") zoom(1 / 1.35, x, y);
    else if (event.key === "0") map.fit();
    else return;
    event.preventDefault();
  });
  element.addEventListener("blur", () => map.leave());

  /** How far beyond the picture, with a margin. @param {number} value @param {number} length */
  const edge = (value, length) => Math.min(0, value - 24) + Math.max(0, value - (length - 24));

  /** @param {number} factor @param {number} x @param {number} y */
  function zoom(factor, x, y) {
    camera.zoomAt(factor, x, y);
    map.moved();
    map.look(x, y);
  }
}
