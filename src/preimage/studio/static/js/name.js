// @ts-check
/** Which run is open, and the way to another one. */

import { fill, h, select } from "./dom.js";

/** @param {HTMLElement} place @param {import("./types.js").Studio} studio */
export async function name(place, studio) {
  const { session } = studio;
  const { width, height, channels } = session.image;
  const size = `${width}×${height} ${channels === 1 ? "grey" : "colour"}`;
  const latents = session.latents ? ` · ${session.latents} latents` : "";
  const about = h("span", { class: "about" }, `${session.recipe} · ${size}${latents}`);
  fill(place, h("strong", null, session.name), about);
  document.title = `${session.name} – Preimage`;
  if (session.runs < 2) return;

  /** @type {{id: string, name: string, opened: boolean}[]} */
  const runs = await studio.api("runs");
  const menu = select(
    runs.map((run) => ({ value: run.id, label: run.name })),
    { label: "Run", value: session.id, onChange: open },
  );
  fill(place, menu, about);

  /** @param {string} id */
  async function open(id) {
    try {
      await studio.api("open", { body: { id } }); // the server tells all pages; they begin anew
    } catch (error) {
      menu.value = session.id;
      studio.toast(/** @type {Error} */ (error).message, { kind: "error" });
    }
  }
}
