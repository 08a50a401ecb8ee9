// @ts-check
/** The picture: live, beside a kept one, or as it was before the edits. Always on the page. */

import { button, fill, h } from "../dom.js";
import { draggable, dropzone } from "../drag.js";
import { bind } from "../keys.js";
import { drawPicture, painter } from "../painting.js";
import { describe, describeEdits, edited } from "../words.js";

/** @typedef {import("../types.js").Args} Args */
/** @typedef {import("../types.js").Frame} Frame */
/** @typedef {import("../types.js").Studio} Studio */

const FAR = 0.35; // below this fade the caption says that the point is far from the images
const READ = 250; // ms that a number must stand to be read

/** @param {HTMLElement} place @param {Studio} studio */
export function openView(place, studio) {
  const { args, live, session } = studio;
  const canvas = h("canvas", { id: "picture", role: "img", "aria-label": "The picture" });
  const over = h("canvas", { class: "over", hidden: true, role: "img", "aria-label": "A picture laid over" });
  const caption = h("figcaption", { class: "caption" });
  const note = h("p", { class: "notice stage-note", role: "alert", hidden: true });
  const latency = h("span", { class: "latency", title: "From the request to the picture" });
  const picture = h("div", { class: "fit" }, canvas, over);
  const live_ = h("figure", { class: "frame live" }, picture, caption);
  const kept = keptFrame(studio, canvas);
  const stage = h("div", { class: "stage" }, kept.element, live_, latency, note);
  place.style.setProperty("--aspect", String(session.image.width / session.image.height));
  const bar = h("div", { class: "viewbar", role: "toolbar", "aria-label": "Picture" });
  fill(place, stage, bar);

  const paint = painter(canvas);
  /** @type {boolean} */
  let laid = false;
  let told = -Infinity; // when the latency was last written
  live.subscribe(show);
  args.subscribe((shown) => {
    if (laid) overlay(null);
    caption.textContent = words(shown);
    canvas.setAttribute("aria-label", words(shown));
  });
  caption.textContent = words(args.shown());

  /** @param {Frame} frame */
  function show(frame) {
    note.hidden = frame.error === null;
    if (frame.error) {
      note.textContent = frame.error.error;
      return;
    }
    paint(frame);
    canvas.style.opacity = String(0.2 + 0.8 * Math.min(1, Math.max(0, frame.fade)));
    live_.classList.toggle("far", frame.fade < FAR);
    tell(frame.wait);
    canvas.dataset.painted = String(frame.id);
    canvas.dispatchEvent(new CustomEvent("painted", { detail: frame }));
  }

  /** Now and then: the page need not be laid out anew for every picture. @param {number} wait */
  function tell(wait) {
    const now = performance.now();
    if (now - told < READ) return;
    told = now;
    latency.textContent = `${Math.max(1, Math.round(wait))} ms`;
  }

  /** @param {{image: Blob | ImageBitmap | string, caption: string} | null} picture */
  async function overlay(picture) {
    laid = picture !== null;
    over.hidden = !laid;
    if (!picture) {
      caption.textContent = words(args.shown());
      return;
    }
    caption.textContent = picture.caption;
    over.setAttribute("aria-label", picture.caption);
    try {
      await drawPicture(over, picture.image);
    } catch (error) {
      overlay(null);
      studio.toast(/** @type {Error} */ (error).message, { kind: "error" });
    }
  }

  // The picture can be dragged onto A, B or C, and pictures and files dropped on it.
  draggable(picture, () => args.get());
  dropzone(place, take, { files: true });

  const original = holdButton(studio, overlay);
  const smooth = scaling(place);
  fill(
    bar,
    button({ icon: "dice", label: "Random", title: "Another sample (R)", onClick: random }),
    original.element,
    kept.button,
    h("span", { class: "grow" }),
    smooth,
    button({ icon: "reset", kind: "quiet", title: "Take all edits back (X)", onClick: reset }),
  );

  /** A latent has its edits in it already; the latent of a file is searched for.
   * @param {import("../types.js").Base} base @param {boolean} file */
  function take(base, file) {
    if (base.kind === "image" && (file || !session.encoder)) {
      studio.go("bring");
      studio.bring(base.id);
    } else if (base.kind === "latent") args.patch({ base, moves: {}, dims: {} });
    else studio.show(base);
  }

  function random() {
    args.patch({ base: { kind: "sample", seed: Math.floor(Math.random() * 1e6) } });
  }

  function reset() {
    args.patch({ moves: {}, dims: {} });
    studio.say("All edits taken back.");
  }

  const group = "Picture";
  bind(
    { key: "r", says: "A random picture", group, run: random },
    { key: "o", says: "Hold to see the original", group, run: original.down, release: original.up },
    { key: "a", says: "Keep this picture as A, beside the next ones", group, run: kept.toggle },
    { key: "x", says: "Take all edits back", group, run: reset },
  );
  return { overlay };
}

/** @param {Args} args */
function words(args) {
  const edits = describeEdits(args);
  return edits ? `${describe(args.base)} · ${edits}` : describe(args.base);
}

/**
 * What the picture was before the edits: the image itself where there is one, else its decode.
 * @param {Studio} studio
 * @param {(picture: {image: string, caption: string} | null) => void} overlay
 */
function holdButton(studio, overlay) {
  const { args } = studio;
  let held = false;

  function down() {
    if (held) return;
    held = true;
    element.setAttribute("aria-pressed", "true");
    const { base } = args.get();
    if (base.kind === "item") overlay({ image: studio.url(`items/${base.index}/image`), caption: "The image itself" });
    else if (base.kind === "image") overlay({ image: studio.url(`images/${base.id}`), caption: "The image itself" });
    else args.preview({ ...args.get(), moves: {}, dims: {} });
  }

  function up() {
    if (!held) return;
    held = false;
    element.setAttribute("aria-pressed", "false");
    overlay(null);
    args.preview(null);
  }

  const element = button({ icon: "eye", label: "Original", pressed: false, title: "Hold to see the picture before the edits (O)" });
  element.addEventListener("pointerdown", down);
  for (const name of ["pointerup", "pointerleave", "pointercancel", "blur"]) element.addEventListener(name, up);
  element.addEventListener("keydown", (event) => {
    if (event.key === " " || event.key === "Enter") {
      event.preventDefault();
      down();
    }
  });
  element.addEventListener("keyup", up);
  args.subscribe(() => {
    const { base } = args.get();
    element.disabled = !edited(args.get()) && base.kind !== "item" && base.kind !== "image";
  });
  element.disabled = !edited(args.get()) && !["item", "image"].includes(args.get().base.kind);
  return { element, down, up };
}

/** Picture A, kept beside the live one. @param {Studio} studio @param {HTMLCanvasElement} source */
function keptFrame(studio, source) {
  const { args } = studio;
  const canvas = h("canvas", { role: "img", "aria-label": "Picture A" });
  const caption = h("span", { class: "caption" });
  /** @type {Args | null} */
  let kept = null;
  const element = h(
    "figure",
    { class: "frame kept", hidden: true },
    h("div", { class: "fit" }, canvas),
    h(
      "div",
      { class: "frame-tools" },
      caption,
      button({ icon: "swap", kind: "quiet", title: "Exchange A and the picture", onClick: swap }),
      button({ icon: "close", kind: "quiet", title: "Put A away", onClick: toggle }),
    ),
  );
  const toggleButton = button({
    icon: "compare",
    label: "Compare",
    pressed: false,
    title: "Keep this picture as A, beside the next ones (A)",
    onClick: toggle,
  });

  function keep() {
    kept = args.get();
    canvas.width = source.width;
    canvas.height = source.height;
    canvas.getContext("2d")?.drawImage(source, 0, 0);
    caption.textContent = `A · ${words(kept)}`;
    canvas.setAttribute("aria-label", `A: ${words(kept)}`);
  }

  function toggle() {
    if (kept) kept = null;
    else keep();
    element.hidden = kept === null;
    toggleButton.setAttribute("aria-pressed", String(kept !== null));
  }

  function swap() {
    const next = kept;
    keep();
    if (next) args.set(next);
  }

  return { element, button: toggleButton, toggle };
}

/** Smooth, or pixel by pixel. @param {HTMLElement} place */
function scaling(place) {
  let smooth = true;
  const element = button({ icon: "pixels", kind: "quiet", title: "Show single pixels", pressed: !smooth, onClick: flip });

  function flip() {
    smooth = !smooth;
    place.classList.toggle("pixelated", !smooth);
    element.setAttribute("aria-pressed", String(!smooth));
  }
  return element;
}
