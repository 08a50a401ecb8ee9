// @ts-check
export const id = "keep", title = "keep", icon = "keep", key = "k", hint = "…";
/** @param {import("../types.js").Session} _ */
export const available = (_) => true;
/** @param {HTMLElement} element */
export function mount(element) { element.textContent = ""; }
