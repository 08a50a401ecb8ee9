// @ts-check
/** What stands on the map: search, colour, dots or images, lasso, zoom, legend, the selection. */

import { floats } from "../api.js";
import { button, choice, fill, h, select as menu } from "../dom.js";
import { bind } from "../keys.js";
import { theme } from "../theme.js";
import { pretty } from "../words.js";
import { openFind } from "./find.js";
import { openLegend } from "./legend.js";

/** @type {Record<string, string>} */
const METHODS = { pca: "PCA", "t-sne": "t-SNE", umap: "UMAP", latent: "the latent space itself" };

/** @typedef {import("./scene.js").Scene} Scene */
/** @typedef {import("../types.js").Studio} Studio */

/** What the map may be coloured by. @param {import("./colours.js").Column[]} columns */
const choices = (columns) => [
  { value: "", label: "One colour" },
  ...columns.map((column, i) => ({ value: String(i), label: pretty(column.name) })),
];

/** Kinds tell more than amounts at first sight. @param {{kind: string}[]} columns */
function firstColumn(columns) {
  const kind = columns.findIndex((column) => column.kind === "category");
  return kind >= 0 ? kind : columns.length ? 0 : "";
}

/**
 * @param {HTMLElement} place @param {Studio} studio
 * @param {{n: number, of?: string, method: string, trustworthiness: number | null,
 *   columns: import("./colours.js").Column[]}} about
 * @param {{scene: Scene, redraw: () => void, repaint: () => void, fit: () => void,
 *   lasso: (on: boolean) => void, zoom: (factor: number) => void}} map
 */
export function openControls(place, studio, about, map) {
  const { scene } = map;
  /** @type {number[] | null} */
  let matches = null;
  /** @type {Set<number>} */
  let kinds = new Set();
  const { select } = studio;

  const find = openFind(studio, (indices) => {
    matches = indices;
    light();
  });
  const legendPlace = h("div", { class: "legend", role: "group", "aria-label": "Legend" });
  const showLegend = openLegend(legendPlace, (chosen) => {
    kinds = chosen;
    light();
  });
  const columns = menu(
    choices(about.columns),
    { label: "Colour by", value: String(firstColumn(about.columns)), onChange: colour },
  );
  const mode = choice({
    label: "What is drawn",
    options: [
      { value: "auto", label: "Auto", title: "Dots, with as many images between as there is room for" },
      { value: "dots", label: "Dots" },
      { value: "images", label: "Images" },
    ],
    value: scene.mode,
    onChange(value) {
      scene.mode = /** @type {import("./scene.js").Mode} */ (value);
      size.hidden = value === "dots";
      map.redraw();
    },
  });
  const size = h("input", {
    type: "range",
    class: "size",
    min: "8",
    max: "72",
    value: String(scene.size),
    title: "Size of the images",
    "aria-label": "Size of the images",
    on: {
      input: () => {
        scene.size = Number(size.value);
        map.redraw();
      },
    },
  });
  const lassoButton = button({
    icon: "lasso",
    title: "Lasso: draw around images to select them (L, or drag with Shift)",
    pressed: false,
    onClick: () => lasso(lassoButton.getAttribute("aria-pressed") !== "true"),
  });
  const selected = h("div", { class: "selected", hidden: true, role: "status" });

  /** @param {boolean} on */
  function lasso(on) {
    lassoButton.setAttribute("aria-pressed", String(on));
    map.lasso(on);
  }

  /** What stays lit: the matches of the search, of the legend's kinds, of the lasso. */
  function light() {
    const { lit, values, n } = scene;
    lit.fill(matches ? 0 : 1);
    for (const index of matches ?? []) lit[index] = 1;
    if (kinds.size > 0 && values) {
      for (let i = 0; i < n; i += 1) if (!kinds.has(values[i])) lit[i] = 0;
    }
    const held = select.get();
    if (held.length > 0) {
      const inside = new Uint8Array(n);
      for (const index of held) inside[index] = 1;
      for (let i = 0; i < n; i += 1) lit[i] &= inside[i];
    }
    map.repaint();
  }

  /** @param {string} value index of a column, or nothing */
  async function colour(value) {
    const column = value === "" ? null : about.columns[Number(value)];
    try {
      scene.values = column ? await floats(`map/column/${value}`) : null;
    } catch (error) {
      studio.toast(/** @type {Error} */ (error).message, { kind: "error" });
      return;
    }
    scene.column = column;
    kinds = new Set();
    showLegend(column, theme(), true);
    light();
  }

  select.subscribe((indices) => {
    selected.hidden = indices.length === 0;
    fill(
      selected,
      h("strong", null, `${indices.length.toLocaleString("en")} selected`),
      studio.session.panels.name
        ? button({ label: "Name them", kind: "quiet", onClick: () => studio.go("name") })
        : null,
      button({ label: "Clear", kind: "quiet", onClick: () => select.set([]) }),
    );
    light();
  });

  const note = h("p", { class: "map-note" });
  tell(about);

  /** @param {typeof about} map_ */
  function tell({ n, of, method, trustworthiness }) {
    const trust = trustworthiness ? ` · ${Math.round(trustworthiness * 100)} % trustworthy` : "";
    note.textContent = `${n.toLocaleString("en")} ${of ?? "images"} · ${METHODS[method] ?? method}${trust}`;
    note.title = "Trustworthiness: how many near neighbours on the map are near in the latent space too";
  }

  place.append(
    h(
      "div",
      { class: "map-top" },
      find.element,
      h("div", { class: "map-set" }, columns, mode.element, size, lassoButton),
    ),
    h("div", { class: "map-foot" }, legendPlace, note),
    h(
      "div",
      { class: "zoom", role: "group", "aria-label": "Zoom" },
      button({ icon: "plus", title: "Nearer (+)", onClick: () => map.zoom(1.5) }),
      button({ icon: "minus", title: "Farther (−)", onClick: () => map.zoom(1 / 1.5) }),
      button({ icon: "fit", title: "Show all (0)", onClick: map.fit }),
    ),
    selected,
  );

  const group = "Map";
  bind(
    { key: "/", says: "Search", group, run: find.focus },
    { key: "l", says: "Lasso", group, run: () => lasso(lassoButton.getAttribute("aria-pressed") !== "true") },
    { key: "arrows", says: "Look around (Shift: farther)", group },
    { key: "enter", says: "Hold the picture under the cross", group },
    { key: "+ −", says: "Nearer, farther", group },
    { key: "0", says: "Show all", group, run: map.fit },
  );

  return {
    lasso,
    legend: () => showLegend(scene.column, theme()),
    start: () => colour(columns.value),
    /** Another map of the same images. @param {typeof about} next */
    renew(next) {
      about = next;
      tell(next);
      const { value } = columns;
      fill(columns, choices(next.columns).map((one) => h("option", { value: one.value }, one.label)));
      columns.value = value;
      return colour(value);
    },
  };
}
