// @ts-check
/** Pictures side by side, each with a word under it. */

import { h } from "../dom.js";

/**
 * A picture that is changed in place.
 * @param {string} caption @param {{onClick?: () => void, title?: string}} [options]
 */
export function picture(caption, { onClick, title } = {}) {
  const image = h("img", { class: "shown", alt: caption, draggable: false, decoding: "sync" });
  const words = h("figcaption", null, caption);
  const inner = onClick
    ? h("button", { type: "button", class: "plain", title: title ?? caption, on: { click: onClick } }, image)
    : image;
  const element = h("figure", { class: "figure" }, inner, words);
  return {
    element,
    image,
    /** @param {string | null} src @param {string} [says] */
    set(src, says) {
      element.classList.toggle("blank", !src);
      if (src && image.getAttribute("src") !== src) image.src = src;
      if (!src) image.removeAttribute("src");
      if (says !== undefined) words.textContent = says;
      image.alt = words.textContent ?? "";
    },
  };
}

/** @param {...HTMLElement} figures */
export const pictures = (...figures) => h("div", { class: "figures" }, figures);

/** Facts with a mark before them: good, doubtful or plain.
 * @param {"good" | "doubt" | "plain"} kind @param {string} title @param {string} words */
export const finding = (kind, title, words) =>
  h("div", { class: `finding ${kind}` }, h("h3", null, title), h("p", null, words));
