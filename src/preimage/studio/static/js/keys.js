// @ts-check
/** The keyboard: one list of keys, which is also what the help sheet shows. */

/**
 * @typedef {object} Binding
 * @property {string} key  as KeyboardEvent.key, in lower case; "ctrl+z" with modifiers
 * @property {string} says
 * @property {string} group
 * @property {(event: KeyboardEvent) => void} [run]  without it the entry is only told in the sheet
 * @property {() => void} [release]  for keys that are held
 */

/** @type {Binding[]} */
const bindings = [];

/** @param {...Binding} more */
export function bind(...more) {
  bindings.push(...more);
}

/** What is bound, by group, for the help sheet. */
export function sheet() {
  /** @type {Map<string, Binding[]>} */
  const groups = new Map();
  for (const binding of bindings) {
    groups.set(binding.group, [...(groups.get(binding.group) ?? []), binding]);
  }
  return groups;
}

/** Whether keys go into what has the focus. @param {EventTarget | null} target */
function typing(target) {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement) {
    return !["range", "checkbox", "radio", "button"].includes(target.type);
  }
  return target.isContentEditable || ["TEXTAREA", "SELECT"].includes(target.tagName);
}

/** @param {KeyboardEvent} event */
function name(event) {
  const control = event.ctrlKey || event.metaKey ? "ctrl+" : "";
  const shift = event.shiftKey && control ? "shift+" : "";
  return control + shift + event.key.toLowerCase();
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.altKey || typing(event.target)) return;
  if (document.querySelector("dialog[open]") && event.key !== "?") return;
  const pressed = name(event);
  const binding = bindings.find((candidate) => candidate.run && candidate.key === pressed);
  if (!binding) return;
  event.preventDefault();
  if (binding.release && event.repeat) return;
  binding.run?.(event);
});

document.addEventListener("keyup", (event) => {
  const released = event.key.toLowerCase();
  bindings.find((candidate) => candidate.release && candidate.key === released)?.release?.();
});
