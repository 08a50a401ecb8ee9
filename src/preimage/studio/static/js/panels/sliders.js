// @ts-check
export const id = "sliders", title = "sliders", icon = "sliders", key = "s", hint = "…";
/** @param {import("../types.js").Session} _ */
export const available = (_) => true;
/** @param {HTMLElement} element */
export function mount(element) { element.textContent = ""; }
