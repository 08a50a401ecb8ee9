// @ts-check
/** Short messages at the foot of the page; an error stays until it is closed. */

import { button, h } from "./dom.js";
import { icon } from "./icons.js";

const STAYS = 4500; // ms

/** @param {string} message @param {{kind?: "plain" | "error" | "good"}} [options] */
export function toast(message, { kind = "plain" } = {}) {
  const place = /** @type {HTMLElement} */ (document.getElementById("toasts"));
  const close = button({ icon: "close", kind: "quiet", title: "Close", onClick: () => card.remove() });
  const sign = kind === "error" ? icon("alert") : kind === "good" ? icon("check") : null;
  const card = h("div", { class: `toast ${kind}` }, sign, h("p", null, message), close);
  place.append(card);
  while (place.children.length > 4) place.firstElementChild?.remove();
  if (kind !== "error") setTimeout(() => card.remove(), STAYS);
}

/** Says something to a screen reader, and to nobody else. @param {string} message */
export function say(message) {
  const place = /** @type {HTMLElement} */ (document.getElementById("say"));
  place.textContent = message;
}
