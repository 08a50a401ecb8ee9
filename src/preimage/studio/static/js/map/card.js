// @ts-check
/** The card beside the pointer: an image of the data, its name and what is known of it. */

import { fill, h } from "../dom.js";
import { number, pretty } from "../words.js";

const WAIT = 70; // ms that the pointer rests before an item is asked for
const MOST = 5; // attributes shown
const REMEMBERED = 300;

/** @typedef {{index: number, name: string, label: string | null, attributes: Record<string, any>}} Item */

/** @param {HTMLElement} place @param {import("../types.js").Studio} studio */
export function openCard(place, studio) {
  const image = h("img", { alt: "", width: 96, height: 96 });
  const words = h("div", { class: "card-words" });
  const card = h("div", { class: "hover-card", hidden: true }, image, words);
  place.append(card);
  /** @type {Map<number, Promise<Item>>} */
  const items = new Map();
  let shown = -1;
  let timer = 0;

  /** @param {number} index @returns {Promise<Item>} */
  function item(index) {
    let known = items.get(index);
    if (!known) {
      known = studio.api(`items/${index}`);
      known.catch(() => items.delete(index));
      items.set(index, known);
      if (items.size > REMEMBERED) items.delete(items.keys().next().value ?? -1);
    }
    return known;
  }

  /** @param {number} index of a point, or −1 @param {number} x @param {number} y of the page */
  function show(index, x, y) {
    if (index < 0) {
      hide();
      return;
    }
    const { clientWidth, clientHeight } = place;
    const [width, height] = [Math.min(280, clientWidth - 16), 132];
    const left = x + 22 + width > clientWidth ? x - width - 22 : x + 22;
    const top = Math.min(Math.max(8, y - 30), clientHeight - height - 8);
    card.style.inset = `${top}px auto auto ${Math.max(8, left)}px`;
    if (index === shown) return;
    shown = index;
    card.hidden = true;
    clearTimeout(timer);
    timer = window.setTimeout(() => write(index), WAIT);
  }

  /** @param {number} index */
  async function write(index) {
    try {
      const { name, label, attributes } = await item(index);
      if (shown !== index) return;
      image.src = studio.url(`items/${index}/image`);
      await image.decode();
      if (shown !== index) return;
      const facts = Object.entries(attributes ?? {}).slice(0, MOST);
      fill(
        words,
        h("strong", null, name || `Image ${index}`),
        label ? h("span", { class: "badge" }, label) : null,
        facts.map(([what, value]) =>
          h("span", { class: "fact" }, `${pretty(what)} `, h("b", null, typeof value === "number" ? number(value) : String(value))),
        ),
      );
      card.hidden = false;
      if (document.activeElement?.classList.contains("map-face")) {
        studio.say([name, label].filter(Boolean).join(", "));
      }
    } catch {
      hide();
    }
  }

  function hide() {
    clearTimeout(timer);
    shown = -1;
    card.hidden = true;
  }

  return { show, hide };
}
