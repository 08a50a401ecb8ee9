// @ts-check
/** Small pictures of states, and states made into something that can be dragged. */

import { api, render } from "./api.js";
import { h } from "./dom.js";
import { drawPicture } from "./painting.js";
import { describe, edited } from "./words.js";

/** @typedef {import("./types.js").Args} Args */
/** @typedef {import("./types.js").Base} Base */

/** @param {Base} base @param {Args} [args] whose label is kept @returns {Args} */
export const plain = (base, args) => ({ base, moves: {}, dims: {}, label: args?.label ?? null });

/**
 * A canvas that shows a state, drawn when the answer is there.
 * @param {Args} args
 * @param {string} [name] what a screen reader says: "" nothing; unset, the state in words
 */
export function pictureOf(args, name) {
  const spoken = { role: "img", "aria-label": name ?? describe(args.base) };
  const canvas = h("canvas", { class: "thumb", ...(name === "" ? { "aria-hidden": "true" } : spoken) });
  drawArgs(canvas, args);
  return canvas;
}

/** @param {HTMLCanvasElement} canvas @param {Args} args */
export async function drawArgs(canvas, args) {
  try {
    await drawPicture(canvas, await render(args));
  } catch (error) {
    canvas.title = /** @type {Error} */ (error).message;
  }
}

/** The state as a base: with its edits kept by the server as a latent, where there are any.
 * @param {Args} args @returns {Promise<Base>} */
export async function baked(args) {
  if (!edited(args)) return args.base;
  const { id } = await api("latents", { body: { args } });
  return { kind: "latent", id };
}
