// @ts-check
export const id = "blend", title = "blend", icon = "blend", key = "b", hint = "…";
/** @param {import("../types.js").Session} _ */
export const available = (_) => true;
/** @param {HTMLElement} element */
export function mount(element) { element.textContent = ""; }
