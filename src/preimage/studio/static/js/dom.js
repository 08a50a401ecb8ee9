// @ts-check
/** Elements, made in one line each. Text is always text: nothing here reads HTML. */

import { icon } from "./icons.js";

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * An element with its properties and children. `class`, `dataset`, `on` and names with a dash
 * (aria-…) are understood; every other name is a property of the element.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, any> | null} [props]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null) continue;
    if (name === "class") element.className = value;
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "on") {
      for (const [event, listen] of Object.entries(value)) element.addEventListener(event, listen);
    } else if (name.includes("-") || name === "role" || name === "for") {
      element.setAttribute(name, String(value));
    } else Object.assign(element, { [name]: value });
  }
  for (const child of children.flat()) {
    if (child instanceof Node) element.append(child);
    else if (child !== null && child !== undefined && child !== false) element.append(String(child));
  }
  return element;
}

/** A name that no other element has. */
let names = 0;
export const freshId = () => `e${(names += 1)}`;

/**
 * @param {{label?: string, icon?: string, kind?: "primary" | "quiet" | "danger", title?: string,
 *   pressed?: boolean, disabled?: boolean, onClick?: (event: MouseEvent) => void}} options
 *   without a `label`, `title` is the name a screen reader says
 * @returns {HTMLButtonElement}
 */
export function button({ label, icon: name, kind, title, pressed, disabled, onClick }) {
  return h(
    "button",
    {
      type: "button",
      class: `button ${kind ?? ""} ${label ? "" : "bare"}`,
      title: title ?? "",
      disabled: disabled ?? false,
      "aria-label": label ? undefined : title,
      "aria-pressed": pressed === undefined ? undefined : String(pressed),
      on: onClick ? { click: onClick } : {},
    },
    name ? icon(name) : null,
    label ? h("span", null, label) : null,
  );
}

/** A control under its label, with a line of help. @param {string} label
 * @param {HTMLElement} control @param {string} [help] */
export function field(label, control, help) {
  control.id ||= freshId();
  const note = help ? h("span", { class: "hint", id: freshId() }, help) : null;
  if (note) control.setAttribute("aria-describedby", note.id);
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, note);
}

/**
 * @param {{value: string, label: string}[]} options
 * @param {{value?: string, label?: string, onChange?: (value: string) => void}} [settings]
 *   `label` names it where no <label> does
 */
export function select(options, { value, label, onChange } = {}) {
  const element = h(
    "select",
    { "aria-label": label, on: { change: () => onChange?.(element.value) } },
    options.map((option) => h("option", { value: option.value }, option.label)),
  );
  if (value !== undefined) element.value = value;
  return element;
}

/** A bar that says how far a job is. @param {string} label */
export function progress(label) {
  const fill = h("span", { class: "fill" });
  const element = h(
    "div",
    { class: "meter", role: "progressbar", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100 },
    fill,
  );
  return {
    element,
    /** @param {number} share 0 … 1 */
    set(share) {
      const percent = Math.round(Math.min(1, Math.max(0, share)) * 100);
      fill.style.inlineSize = `${percent}%`;
      element.setAttribute("aria-valuenow", String(percent));
    },
  };
}

/** A small picture. @param {string} src @param {string} alt */
export const thumb = (src, alt) =>
  h("img", { class: "thumb", src, alt, draggable: false, decoding: "async" });

/** One button down at a time: a choice that is seen whole.
 * @template {string} V
 * @param {{label: string, options: {value: V, label: string, title?: string}[], value: V,
 *   onChange: (value: V) => void}} settings */
export function choice({ label, options, value, onChange }) {
  const name = freshId();
  const element = h("div", { class: "choice", role: "radiogroup", "aria-label": label });
  /** @type {Map<V, HTMLInputElement>} */
  const inputs = new Map();
  for (const option of options) {
    const input = h("input", {
      type: "radio",
      name,
      value: option.value,
      checked: option.value === value,
      on: { change: () => onChange(option.value) },
    });
    inputs.set(option.value, input);
    element.append(h("label", { title: option.title ?? "" }, input, h("span", null, option.label)));
  }
  return {
    element,
    /** @param {V} next */
    set(next) {
      const input = inputs.get(next);
      if (input) input.checked = true;
    },
  };
}

/** Puts children in place of all that is there. @param {Element} element
 * @param {...(Child | Child[])} children */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child || child === 0).map(asNode));
}

/** @param {any} child */
const asNode = (child) => (child instanceof Node ? child : String(child));
