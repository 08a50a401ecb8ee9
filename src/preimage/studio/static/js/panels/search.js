// @ts-check
/** Search: the images of the data set that are like the picture shown, edited or not. */

import { button, field, fill, h } from "../dom.js";
import { draggable } from "../drag.js";
import { number } from "../words.js";

export const id = "search";
export const title = "Search";
export const icon = "search";
export const key = "f";
export const hint = "Images like the picture shown. Move a slider first, and look for what it would be.";

const WAIT = 200; // ms after the last change
const SHOWN = 24;

/** @param {import("../types.js").Session} session */
export const available = (session) => session.panels.search === true;

/** @param {HTMLElement} element @param {import("../types.js").Studio} studio */
export function mount(element, studio) {
  const { args, session } = studio;
  const known = Object.keys(session.data.categories).concat(session.data.attributes);
  const example = known.includes("glasses") ? "glasses = yes and smile > 0" : known[0] ? `${known[0]} = …` : "path ~ holiday";
  const where = h("input", { type: "text", placeholder: example, spellcheck: false, autocomplete: "off" });
  const complaint = h("p", { class: "error small", role: "alert", hidden: true });
  const count = h("p", { class: "muted small", role: "status" });
  const grid = h("div", { class: "hits", role: "list", "aria-label": "Similar images" });
  const mark = button({ label: "Mark them on the map", icon: "target", kind: "quiet", onClick: () => studio.select.set(found) });
  const form = h("form", { class: "stack tight" }, field("Only those where", where, known.length ? `Known: ${[...new Set(known)].join(", ")}` : "path ~ word looks into file names"), complaint);
  /** @type {number[]} */
  let found = [];
  let timer = 0;
  let asked = 0;
  let open = true;
  fill(element, form, count, grid, mark);
  mark.hidden = true;

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    search();
  });
  where.addEventListener("input", soon);
  args.subscribe((_, why) => why !== "preview" && soon());
  search();

  function soon() {
    clearTimeout(timer);
    if (open) timer = window.setTimeout(search, WAIT);
  }

  async function search() {
    const turn = (asked += 1);
    if (found.length === 0) count.textContent = "Searching…"; // the first time images are read
    try {
      const body = { args: args.get(), k: SHOWN, where: where.value };
      const answer = await studio.api("search", { body });
      if (turn !== asked) return;
      complain(answer.error ?? "");
      if (!answer.error) draw(answer);
    } catch (error) {
      if (turn === asked) complain(/** @type {Error} */ (error).message);
    }
  }

  /** @param {string} message */
  function complain(message) {
    if (message && found.length === 0) count.textContent = "";
    complaint.textContent = message;
    complaint.hidden = message === "";
  }

  /** @param {{found: {index: number, distance: number, attributes: Record<string, any>}[], held: number}} answer */
  function draw({ found: hits, held }) {
    found = hits.map((hit) => hit.index);
    mark.hidden = found.length === 0;
    const of = where.value.trim() ? `, of ${held.toLocaleString("en")} where this holds` : "";
    count.textContent = found.length ? `The ${found.length} most alike${of}` : "None of which this holds.";
    fill(grid, hits.map(hit));
  }

  /** @param {{index: number, distance: number, attributes: Record<string, any>}} one */
  function hit({ index, distance, attributes }) {
    const facts = Object.entries(attributes).map(([name, value]) => `${name}: ${value}`).join("\n");
    const tile = h(
      "button",
      {
        type: "button",
        class: "plain",
        title: `Image ${index}, distance ${number(distance, 3)}\n${facts}`,
        "aria-label": `Image ${index}, distance ${number(distance, 2)}`,
        on: { click: () => studio.show({ kind: "item", index }) },
      },
      h("img", { class: "thumb", src: studio.url(`items/${index}/image`), alt: "", loading: "lazy" }),
      h("span", { class: "small muted" }, number(distance, 2)),
    );
    draggable(tile, () => ({ kind: "item", index }));
    return h("div", { role: "listitem" }, tile);
  }

  return {
    shown() {
      open = true;
      search();
    },
    hidden: () => (open = false),
  };
}
