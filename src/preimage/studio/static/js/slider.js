// @ts-check
/** A slider about zero, with its name, its value to type, and a way back. */

import { button, freshId, h } from "./dom.js";
import { number } from "./words.js";

/** @type {Record<string, string>} */
const SHORT = { "standard deviations": "sd" };

/** A step of 1, 2 or 5 of some decade, about a hundredth of the way. @param {number} span */
function niceStep(span) {
  const rough = Math.max(span, 1e-6) / 120;
  const decade = 10 ** Math.floor(Math.log10(rough));
  return decade * (rough / decade < 1.5 ? 1 : rough / decade < 3.5 ? 2 : 5);
}

/** Without what adding up steps leaves behind. @param {number} value */
const tidy = (value) => Number(value.toFixed(6));

/**
 * @param {{name: string, unit: string, low: number, high: number,
 *   badge: {text: string, title: string} | null}} about
 * @param {(value: number) => void} change while it is dragged, typed or put back
 */
export function slider({ name, unit, badge, ...ends }, change) {
  const step = niceStep(ends.high - ends.low);
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  // Ends on the grid of steps: else the slider could not come back to nought.
  const [first, last] = [Math.floor(ends.low / step), Math.ceil(ends.high / step)];
  const [low, high] = [first * step, last * step];
  const places = Array.from({ length: last - first + 1 }, (_, k) => tidy(low + k * step));
  const id = freshId();
  const range = h("input", { type: "range", class: "slide", id, min: String(low), max: String(high), step: String(step), value: "0" });
  const value = h("input", { type: "text", inputMode: "decimal", class: "value", value: "0", "aria-label": `${name}, value` });
  const back = button({ icon: "reset", kind: "quiet", title: `Put ${name} back`, onClick: () => put(0) });
  const complaint = h("p", { class: "error small", role: "alert", hidden: true });
  const element = h(
    "div",
    { class: "slider" },
    h("label", { for: id, title: name }, name),
    h(
      "span",
      { class: "slider-end" },
      badge ? h("span", { class: "badge", title: badge.title }, badge.text) : null,
      back,
      value,
      unit ? h("span", { class: "unit", title: unit }, SHORT[unit] ?? unit) : null,
    ),
    range,
    complaint,
  );

  let held = NaN;

  /** @param {number} to */
  function set(to) {
    if (to === held) return; // most sliders, when one moves
    held = to;
    range.value = String(to);
    if (document.activeElement !== value) value.value = number(to, digits);
    const share = (/** @type {number} */ at) => (100 * (at - low)) / (high - low);
    const [zero, here] = [share(Math.min(high, Math.max(low, 0))), share(Math.min(high, Math.max(low, to)))];
    range.style.setProperty("--from", `${Math.min(zero, here)}%`);
    range.style.setProperty("--to", `${Math.max(zero, here)}%`);
    range.style.setProperty("--zero", `${zero}%`);
    range.setAttribute("aria-valuetext", `${number(to, digits)} ${unit}`.trim());
    element.classList.toggle("moved", to !== 0);
    back.tabIndex = to === 0 ? -1 : 0;
  }

  /** The picture is asked for first: drawing the slider takes longer. @param {number} to */
  function put(to) {
    change(to);
    set(to);
  }

  range.addEventListener("input", () => put(tidy(Number(range.value))));
  range.addEventListener("dblclick", () => put(0));
  range.addEventListener("keydown", (event) => {
    if (event.key !== "Backspace" && event.key !== "Delete") return;
    event.preventDefault();
    put(0);
  });
  value.addEventListener("focus", () => value.select());
  value.addEventListener("change", () => {
    const typed = Number(value.value.replace("−", "-").replace(",", "."));
    if (Number.isFinite(typed)) put(typed);
    value.value = number(held, digits);
  });
  set(0);

  return {
    element,
    name,
    places,
    set,
    /** @param {string} message or nothing */
    complain(message) {
      if (complaint.textContent === message) return;
      complaint.textContent = message;
      complaint.hidden = message === "";
    },
  };
}
