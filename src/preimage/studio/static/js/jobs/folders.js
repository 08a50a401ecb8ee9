// @ts-check
/** A folder chosen below those that were named when the studio was started. */

import { button, fill, h } from "../dom.js";
import { icon } from "../icons.js";

/** @typedef {{root: number, path: string}} Place */

/**
 * @param {import("../types.js").Studio} studio @param {string[]} roots
 * @param {(place: Place & {images: number, archive: boolean}) => void} chosen
 */
export function folders(studio, roots, chosen) {
  const where = h("p", { class: "small grow path" });
  const up = button({ label: "Up", icon: "undo", kind: "quiet", onClick: () => open({ ...at, path: at.path.split("/").slice(0, -1).join("/") }) });
  const list = h("ul", { class: "plain-list folder-list", "aria-label": "Folders" });
  const note = h("p", { class: "small muted", role: "status" });
  const root = h("select", { "aria-label": "Folder named at launch", on: { change: () => open({ root: Number(root.value), path: "" }) } });
  fill(root, roots.map((name, k) => h("option", { value: String(k) }, name)));
  root.hidden = roots.length < 2;
  const element = h("div", { class: "stack tight" }, root, h("div", { class: "spread" }, where, up), list, note);
  /** @type {Place} */
  let at = { root: 0, path: "" };

  /** @param {Place} place */
  async function open(place) {
    try {
      const found = await studio.api(`train/folders?root=${place.root}&path=${encodeURIComponent(place.path)}`);
      at = place;
      up.hidden = at.path === "";
      where.textContent = [roots[at.root], ...at.path.split("/").filter(Boolean)].join(" / ");
      note.textContent = found.images ? `${found.images.toLocaleString("en")} images here and below.` : "No images here.";
      fill(
        list,
        found.folders.map((/** @type {string} */ name) => entry(name, "map", () => open({ root: at.root, path: join(at.path, name) }))),
        found.archives.map((/** @type {string} */ name) => entry(name, "keep", () => take(name))),
      );
      list.hidden = found.folders.length + found.archives.length === 0;
      chosen({ ...at, images: found.images, archive: false });
    } catch (error) {
      note.textContent = /** @type {Error} */ (error).message;
    }
  }

  /** An archive among the folders. @param {string} name */
  function take(name) {
    note.textContent = `${name} is chosen.`;
    chosen({ root: at.root, path: join(at.path, name), images: 0, archive: true });
  }

  /** @param {string} name @param {string} sign @param {() => void} onClick */
  const entry = (name, sign, onClick) =>
    h("li", null, h("button", { type: "button", class: "plain entry", on: { click: onClick } }, icon(sign), h("span", null, name)));

  return { element, open: () => open(at) };
}

/** @param {string} path @param {string} name */
const join = (path, name) => (path ? `${path}/${name}` : name);
