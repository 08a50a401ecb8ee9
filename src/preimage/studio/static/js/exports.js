// @ts-check
/** Files to take away: asked of the server, saved by the browser. */

import { button, h } from "./dom.js";

/** @typedef {import("./types.js").Args} Args */
/** @typedef {import("./types.js").Studio} Studio */

const LABELS = { png: "PNG", gif: "GIF", webp: "WebP", mp4: "MP4", latents: "Latents" };
const ENDINGS = { png: "png", gif: "gif", webp: "webp", mp4: "mp4", latents: "npz" };

/** @param {Blob} blob @param {string} name */
export function save(blob, name) {
  const address = URL.createObjectURL(blob);
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/**
 * A row of buttons, one a kind of file that the server can make.
 * @param {Studio} studio
 * @param {{label: string, kinds: string[], name: string, args?: () => Args, frames?: () => Args[]}} what
 */
export function exporter(studio, { label, kinds, name, args, frames }) {
  const able = kinds.filter((kind) => studio.session.exports.includes(kind));
  const row = h("div", { class: "row exports", role: "group", "aria-label": label });
  row.append(h("span", { class: "muted small" }, label));
  for (const kind of able) {
    const word = LABELS[/** @type {keyof LABELS} */ (kind)] ?? kind;
    const element = button({ icon: "download", label: word, title: `${label} ${word}`, onClick: make });
    row.append(element);

    async function make() {
      const list = frames?.();
      if (list?.length === 0) return studio.toast("Choose both pictures first.");
      element.disabled = true;
      element.setAttribute("aria-busy", "true");
      try {
        const body = list ? { frames: list, kind } : { args: args?.(), kind };
        const response = /** @type {Response} */ (await studio.api("export", { body, raw: true }));
        save(await response.blob(), fileName(response, `${studio.session.name}-${name}`, kind));
        studio.toast(`${word} saved.`, { kind: "good" });
      } catch (error) {
        studio.toast(/** @type {Error} */ (error).message, { kind: "error" });
      } finally {
        element.disabled = false;
        element.removeAttribute("aria-busy");
      }
    }
  }
  row.hidden = able.length === 0;
  return row;
}

/** The name that the server gives, else one of our own. @param {Response} response
 * @param {string} stem @param {string} kind */
function fileName(response, stem, kind) {
  const given = response.headers.get("Content-Disposition")?.match(/filename="?([^";]+)/)?.[1];
  return given ?? `${stem}.${ENDINGS[/** @type {keyof ENDINGS} */ (kind)] ?? kind}`;
}
