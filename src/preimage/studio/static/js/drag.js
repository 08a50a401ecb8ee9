// @ts-check
/** Pictures dragged from one place of the page to another, and files dropped on it. */

import { upload } from "./api.js";
import { baked } from "./pictures.js";
import { toast } from "./toast.js";

/** @typedef {import("./types.js").Base} Base */

const KIND = "application/x-preimage-base";

/** @param {HTMLElement} element
 * @param {() => Base | import("./types.js").Args | null} what is dragged: a base, or a whole state,
 *   whose edits go with it */
export function draggable(element, what) {
  element.draggable = true;
  element.addEventListener("dragstart", (event) => {
    const value = what();
    if (!value || !event.dataTransfer) return event.preventDefault();
    event.dataTransfer.setData(KIND, JSON.stringify(value));
    event.dataTransfer.effectAllowed = "copy";
    document.documentElement.classList.add("dragging");
  });
  element.addEventListener("dragend", () => document.documentElement.classList.remove("dragging"));
}

/**
 * @param {HTMLElement} element
 * @param {(base: Base, file: boolean) => void} take
 * @param {{files?: boolean}} [options] with `files`, image files are taken too: uploaded first
 */
export function dropzone(element, take, { files = false } = {}) {
  /** @param {DragEvent} event */
  const fits = (event) => {
    const types = event.dataTransfer?.types ?? [];
    return types.includes(KIND) || (files && types.includes("Files"));
  };
  element.addEventListener("dragover", (event) => {
    if (!fits(event)) return;
    event.preventDefault();
    event.stopPropagation();
    element.classList.add("drop");
  });
  element.addEventListener("dragleave", () => element.classList.remove("drop"));
  element.addEventListener("drop", async (event) => {
    element.classList.remove("drop");
    if (!fits(event) || !event.dataTransfer) return;
    event.preventDefault();
    event.stopPropagation();
    const text = event.dataTransfer.getData(KIND);
    const file = event.dataTransfer.files[0];
    try {
      const value = text ? JSON.parse(text) : null;
      if (value) take("base" in value ? await baked(value) : value, false);
      else if (file) take(await received(file), true);
    } catch (error) {
      toast(/** @type {Error} */ (error).message, { kind: "error" });
    }
  });
}

/** An image file, uploaded. @param {Blob} file @returns {Promise<Base>} */
export async function received(file) {
  return { kind: "image", id: (await upload(file)).id };
}

// A file dropped beside every zone would make the browser leave the page.
for (const name of ["dragover", "drop"]) {
  window.addEventListener(name, (event) => {
    if (/** @type {DragEvent} */ (event).dataTransfer?.types.includes("Files")) event.preventDefault();
  });
}
