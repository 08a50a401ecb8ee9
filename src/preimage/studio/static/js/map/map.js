// @ts-check
/**
 * The map: every image of the data at its place, and between them the pictures that nobody took.
 * This file joins the parts; each of them stands in a file of its own.
 */

import { floats } from "../api.js";
import { h, progress } from "../dom.js";
import { onTheme, theme } from "../theme.js";
import { openCard } from "./card.js";
import { openControls } from "./controls.js";
import { openFlat } from "./flat.js";
import { openGl } from "./gl.js";
import { openOverlay } from "./overlay.js";
import { openPointer } from "./pointer.js";
import { Scene } from "./scene.js";
import { Sheets } from "./sheets.js";

const ASK = 150; // ms from one question to the next, while the map is computed

/** @typedef {import("../types.js").Base} Base */
/** @typedef {import("../types.js").Studio} Studio */

/** @param {HTMLElement} place @param {Studio} studio @param {import("../pick.js").Picker} picker */
export async function openMap(place, studio, picker) {
  const { args, select } = studio;
  const scene = new Scene();
  const { camera } = scene;
  const wait = waiting(place);
  const face = h("canvas", { class: "map-face", tabIndex: 0, role: "application", "aria-label": "Map of the images. Arrow keys look around, Enter holds, plus and minus zoom." });
  const over = h("canvas", { class: "map-over" });
  place.append(face, over, picker.place);
  let renderer = openGl(face) ?? openFlat(face);
  place.dataset.renderer = renderer.kind;
  const drawOver = openOverlay(over);
  const card = openCard(place, studio);
  /** @type {import("./overlay.js").Marks} */
  const marks = { cross: null, over: -1, pinned: args.get().base, loop: [] };
  let inks = { ink: "", ground: "", accent: "" };
  let lassoing = false;
  let asked = false; // for the next frame
  let stale = false; // the map itself, and not only what lies over it

  let about = await ready(studio, wait.show);
  if (about === null) return wait.none();
  wait.element.remove();
  const points = await floats("map/points");

  /** Draws all of it once, at the next frame, however often it is asked. */
  function redraw() {
    stale = true;
    remark();
  }

  /** Draws what lies over the map; the points below, which take longer, stay as they are. */
  function remark() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      if (stale) {
        scene.prepare();
        renderer.draw(scene);
        place.dataset.thumbs = String(scene.levels.count);
      }
      drawOver(scene, marks, inks);
      asked = stale = false;
    });
  }

  function repaint() {
    scene.paint(theme());
    renderer.recolour(scene);
    redraw();
  }

  /** What the pointer is over: an image of the data, or a point between. @param {number} x
   * @param {number} y @returns {Base} */
  function base(x, y) {
    const index = scene.at(x, y);
    return index >= 0
      ? { kind: "item", index }
      : { kind: "map", x: round(camera.worldX(x)), y: round(camera.worldY(y)), on: about.method };
  }

  /** Enough digits for a pixel of the nearest view, and no more in the address. @param {number} value */
  const round = (value) => Number(value.toPrecision(6));

  const hands = {
    /** @param {number} x @param {number} y */
    look(x, y) {
      const seen = base(x, y);
      marks.cross = [x, y];
      marks.over = seen.kind === "item" ? seen.index : -1;
      card.show(marks.over, x, y);
      args.preview({ ...args.get(), base: seen });
      remark();
    },
    leave() {
      marks.cross = null;
      marks.over = -1;
      card.hide();
      args.preview(null);
      remark();
    },
    /** @param {number} x @param {number} y */
    pin(x, y) {
      const seen = base(x, y);
      if (picker.active) picker.answer(seen);
      else args.patch({ base: seen });
    },
    moved: redraw,
    /** @param {number[]} corners of the page @param {boolean} done */
    loop(corners, done) {
      marks.loop = done ? [] : corners;
      if (done && corners.length > 4) {
        const world = corners.map((value, k) => (k % 2 ? camera.worldY(value) : camera.worldX(value)));
        select.set(scene.grid.inside(world));
        controls.lasso(false);
      }
      remark();
    },
    lassoing: () => lassoing,
    fit() {
      camera.fit(scene.bounds);
      redraw();
    },
  };

  const controls = openControls(place, studio, about, {
    scene,
    redraw,
    repaint,
    fit: hands.fit,
    lasso(on) {
      lassoing = on;
      face.classList.toggle("lassoing", on);
    },
    /** @param {number} factor */
    zoom(factor) {
      camera.zoomAt(factor, camera.width / 2, camera.height / 2);
      redraw();
    },
  });

  function resize() {
    const { clientWidth, clientHeight } = place;
    if (clientWidth === 0) return; // another tab of a phone is open
    const first = camera.width === 1;
    const { zoom } = camera;
    scene.ratio = Math.min(2, devicePixelRatio || 1);
    for (const canvas of [face, over]) {
      canvas.width = Math.round(clientWidth * scene.ratio);
      canvas.height = Math.round(clientHeight * scene.ratio);
    }
    camera.resize(clientWidth, clientHeight);
    const { x, y } = camera;
    camera.fit(scene.bounds);
    if (!first) {
      camera.scale *= zoom;
      [camera.x, camera.y] = [x, y];
    }
    redraw();
  }

  function restyle() {
    const style = getComputedStyle(document.documentElement);
    const read = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
    inks = { ink: read("--ink"), ground: read("--map"), accent: read("--accent") };
    controls.legend();
    repaint();
  }

  scene.load(points, about.bounds);
  scene.sheets = new Sheets(about.atlas, redraw);
  new ResizeObserver(resize).observe(place);
  resize();
  openPointer(face, camera, hands);
  args.subscribe(() => {
    const { base: pinned } = args.get();
    if (pinned === marks.pinned) return;
    marks.pinned = pinned;
    remark();
  });
  onTheme(restyle);
  restyle();
  await controls.start();
  place.dataset.points = String(scene.n);

  // A better map may follow the first one, or more be known of its points.
  studio.events.subscribe("map", renew);
  studio.events.subscribe("open", async (again) => {
    if (!again) return;
    const before = about;
    const next = await studio.api("map").catch(() => null);
    if (next && about === before) renew(next); // or news have overtaken the answer
  });

  /** @param {any} next */
  async function renew(next) {
    const same = next.method === about.method;
    if (next.status !== "ready" || (same && next.columns.length === about.columns.length)) return;
    about = next;
    if (!same) scene.load(await floats("map/points"), about.bounds);
    await controls.renew(about);
    redraw();
  }

  // A driver may take the context away, and give it back.
  face.addEventListener("webglcontextlost", (event) => event.preventDefault());
  face.addEventListener("webglcontextrestored", () => {
    renderer = openGl(face) ?? renderer;
    repaint();
  });
}

/**
 * The map's description, when it is ready; null where there is none to be had.
 * @param {Studio} studio @param {(share: number) => void} show
 */
async function ready(studio, show) {
  for (;;) {
    let about;
    try {
      about = await studio.api("map");
    } catch {
      return null;
    }
    if (about.status === "ready") return about.n > 0 ? about : null;
    if (about.status !== "computing") return null;
    show(about.progress ?? 0);
    await new Promise((resolve) => setTimeout(resolve, ASK));
  }
}

/** The place while the map is computed. @param {HTMLElement} place */
function waiting(place) {
  const bar = progress("Computing the map");
  const words = h("p", null, "Drawing the map: like images go side by side…");
  const element = h("div", { class: "map-wait" }, words, bar.element);
  place.append(element);
  return {
    element,
    /** @param {number} share */
    show: (share) => bar.set(share),
    none() {
      words.textContent = "There is no map here: the images this model was trained on are not at hand. Everything else works.";
      bar.element.remove();
    },
  };
}
