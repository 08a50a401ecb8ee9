// @ts-check
/** Pictures side by side, each with a word under it. */

import { h } from "../dom.js";

/**
 * A picture that is changed in place.
 * @param {string} caption @param {{onClick?: () => void, title?: string}} [options]
 */
export function picture(caption, { onClick, title } = {}) {
  const image = h("img", { class: "shown", alt: caption, hidden: true, draggable: false, decoding: "sync" });
  const words = h("figcaption", null, caption);
  const inner = onClick
    ? h("button", { type: "button", class: "plain", title: title ?? caption, on: { click: onClick } }, image)
    : image;
  const element = h("figure", { class: "figure blank" }, inner, words);
  return {
    element,
    image,
    /** @param {string | null} src @param {string} [says] */
    set(src, says) {
      element.classList.toggle("blank", !src);
      image.hidden = !src;
      if (src && image.getAttribute("src") !== src) image.src = src;
      if (says !== undefined) words.textContent = says;
      image.alt = words.textContent ?? "";
    },
  };
}

/** @param {...HTMLElement} figures */
export const pictures = (...figures) => h("div", { class: "figures" }, figures);

/** Bytes of a PNG, as the server writes them in JSON. @param {string} text base64 */
export const png = (text) => new Blob([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], { type: "image/png" });

/** Puts a picture of bytes into an <img>, and lets the last one go. @param {HTMLImageElement} image
 * @param {Blob} blob */
export function swap(image, blob) {
  if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(blob);
}

/** Facts with a mark before them: good, doubtful or plain.
 * @param {"good" | "doubt" | "plain"} kind @param {string} title @param {string} words */
export const finding = (kind, title, words) =>
  h("div", { class: `finding ${kind}` }, h("h3", null, title), h("p", null, words));
