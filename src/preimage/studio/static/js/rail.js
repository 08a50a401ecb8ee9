// @ts-check
/**
 * The rail of panels: tabs beside the panel on a desk, along the bottom on a phone, where the map
 * is the first of them. A panel is mounted when it is first opened, and only then.
 */

import { button, fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { PANELS } from "./panels.js";

/** @typedef {import("./types.js").Panel} Panel */
/** @typedef {import("./types.js").Studio} Studio */

const KEY = "preimage-panel";

/** @param {Studio} studio @returns {{go: (id: string) => void, keys: Record<string, Panel>}} */
export function openRail(studio) {
  const rail = /** @type {HTMLElement} */ (document.getElementById("rail"));
  const place = /** @type {HTMLElement} */ (document.getElementById("panel"));
  const desk = /** @type {HTMLElement} */ (document.getElementById("desk"));
  const panels = PANELS.filter((panel) => panel.available(studio.session));
  /** @type {Map<string, {body: HTMLElement, hooks: {shown?: () => void, hidden?: () => void}}>} */
  const mounted = new Map();
  /** @type {Map<string, HTMLButtonElement>} */
  const tabs = new Map();
  let open = "";

  const list = h("div", { class: "tabs", role: "tablist", "aria-orientation": "vertical", "aria-label": "Panels" });
  const mapTab = tab("map", "Map", "map", "m");
  mapTab.classList.add("phone-only");
  for (const panel of panels) tab(panel.id, panel.title, panel.icon, panel.key);
  list.addEventListener("keydown", walk);
  fill(rail, list);

  /** @param {string} id @param {string} title @param {string} sign @param {string} key */
  function tab(id, title, sign, key) {
    const element = h(
      "button",
      {
        type: "button",
        class: "tab",
        role: "tab",
        id: `tab-${id}`,
        title: `${title} (${key.toUpperCase()})`,
        "aria-controls": id === "map" ? "map" : `panel-${id}`,
        "aria-selected": "false",
        tabIndex: -1,
        on: { click: () => go(id) },
      },
      icon(sign),
      h("span", null, title),
    );
    tabs.set(id, element);
    list.append(element);
    return element;
  }

  /** Arrow keys go from tab to tab. @param {KeyboardEvent} event */
  function walk(event) {
    const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const seen = [...tabs].filter(([, element]) => element.offsetParent !== null);
    const at = seen.findIndex(([id]) => id === open);
    const [id, element] = seen[(at + by + seen.length) % seen.length];
    go(id);
    element.focus();
  }

  /** @param {string} id */
  function go(id) {
    const panel = panels.find((candidate) => candidate.id === id);
    if (id !== "map" && !panel) return;
    desk.dataset.open = id === "map" ? "map" : "panel";
    for (const [name, element] of tabs) {
      element.setAttribute("aria-selected", String(name === id));
      element.tabIndex = name === id ? 0 : -1;
    }
    tabs.get(id)?.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (panel) show(panel);
    if (!panel || id === open) return;
    open = id;
    try {
      localStorage.setItem(KEY, id);
    } catch {
      return; // not remembered, then
    }
  }

  /** @param {Panel} panel */
  function show(panel) {
    if (open && open !== panel.id) {
      const last = mounted.get(open);
      if (last) last.body.hidden = true;
      place.scrollTop = 0;
      last?.hooks.hidden?.();
    }
    let entry = mounted.get(panel.id);
    if (!entry) {
      const body = h(
        "div",
        { class: `panel-body panel-${panel.id}`, id: `panel-${panel.id}`, role: "tabpanel", "aria-labelledby": `tab-${panel.id}` },
        h("header", { class: "panel-head" }, h("h2", null, panel.title), h("p", { class: "hint" }, panel.hint)),
      );
      const inner = h("div", { class: "panel-inner stack" });
      body.append(inner);
      place.append(body);
      entry = { body, hooks: mountSafely(panel, inner) };
      mounted.set(panel.id, entry);
    }
    entry.body.hidden = false;
    if (open !== panel.id) entry.hooks.shown?.();
  }

  /** A panel that fails says so in its own place; the others go on. @param {Panel} panel
   * @param {HTMLElement} inner */
  function mountSafely(panel, inner) {
    try {
      return panel.mount(inner, studio) ?? {};
    } catch (error) {
      console.error(error);
      fill(inner, h("p", { class: "error" }, `This panel could not open: ${error}`));
      return {};
    }
  }

  return { go, keys: Object.fromEntries(panels.map((panel) => [panel.key, panel])), first };

  function first() {
    let id = null;
    try {
      id = localStorage.getItem(KEY);
    } catch {
      id = null;
    }
    go(panels.some((panel) => panel.id === id) ? /** @type {string} */ (id) : panels[0].id);
    if (matchMedia("(max-width: 760px)").matches) go("map");
  }
}
