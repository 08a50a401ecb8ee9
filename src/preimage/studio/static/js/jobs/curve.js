// @ts-check
/** A small chart of figures that come in while a job runs. */

import { fill, h } from "../dom.js";

/** @typedef {Record<string, number>} Point */
/** @typedef {{key: string, label: string}} Series */

const LINES = ["var(--accent)", "var(--good)", "var(--soft)", "var(--bad)"];
const WIDTH = 320;
const HEIGHT = 96;
const SVG = "http://www.w3.org/2000/svg";

/** @param {string} name @param {Record<string, any>} attributes */
function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  return element;
}

/** A number of a few letters. @param {number} value */
export function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) return value.toExponential(1).replace("-", "−");
  return value.toPrecision(3).replace(/\.?0+$/, "").replace("-", "−");
}

/**
 * @param {{series: Series[], title: string, logarithmic?: boolean}} settings
 * @returns {{element: HTMLElement, draw: (points: Point[]) => void}}
 */
export function curve({ series, title, logarithmic = false }) {
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
  const high = h("span", { class: "curve-high" });
  const low = h("span", { class: "curve-low" });
  const legend = h("p", { class: "curve-legend small muted" });
  const element = h("figure", { class: "curve" }, h("div", { class: "curve-box" }, svg, high, low), legend);
  element.hidden = true;

  /** @param {Point[]} points */
  function draw(points) {
    const shown = series
      .map((one, k) => ({ ...one, colour: LINES[k % LINES.length], values: valuesOf(points, one.key) }))
      .filter((one) => one.values.length > 1);
    element.hidden = shown.length === 0;
    if (element.hidden) return;
    const all = shown.flatMap((one) => one.values.map(([, y]) => y));
    const scaled = logarithmic && Math.min(...all) > 0 ? Math.log : (/** @type {number} */ y) => y;
    const top = Math.max(...all);
    const bottom = Math.min(...all);
    const last = Math.max(...shown.flatMap((one) => one.values.map(([x]) => x)), 1e-9);
    const first = Math.min(...shown.flatMap((one) => one.values.map(([x]) => x)));
    const tall = scaled(top) - scaled(bottom) || 1;
    const place = (/** @type {number} */ x, /** @type {number} */ y) =>
      `${(((x - first) / (last - first || 1)) * WIDTH).toFixed(1)} ${((1 - (scaled(y) - scaled(bottom)) / tall) * (HEIGHT - 8) + 4).toFixed(1)}`;
    svg.replaceChildren(
      ...shown.map((one) =>
        shape("path", {
          d: `M${one.values.map(([x, y]) => place(x, y)).join("L")}`,
          fill: "none",
          stroke: one.colour,
          "stroke-width": 2,
          "stroke-linejoin": "round",
          "vector-effect": "non-scaling-stroke",
        }),
      ),
    );
    const words = shown.map((one) => `${one.label} ${short(one.values.at(-1)?.[1] ?? 0)}`);
    svg.setAttribute("aria-label", `${title}: ${words.join(", ")}`);
    high.textContent = short(top);
    low.textContent = short(bottom);
    fill(
      legend,
      shown.map((one, k) => {
        const dot = h("span", { class: "dot" });
        dot.style.background = one.colour;
        return h("span", { class: "curve-name" }, dot, words[k]);
      }),
    );
  }

  return { element, draw };
}

/** @param {Point[]} points @param {string} key @returns {[number, number][]} */
function valuesOf(points, key) {
  return points
    .map((point, k) => /** @type {[number, number]} */ ([point.step || k, point[key]]))
    .filter(([, y]) => Number.isFinite(y));
}
