// @ts-check
/** The buttons of the bar: undo, redo, share, theme, help. */

import { button, fill } from "./dom.js";
import { icon } from "./icons.js";
import { bind } from "./keys.js";
import { onTheme, theme, toggleTheme } from "./theme.js";

/** @param {HTMLElement} place @param {import("./types.js").Studio} studio
 * @param {() => void} help opens the sheet of keys */
export function openTools(place, studio, help) {
  const { args } = studio;
  const undo = button({ icon: "undo", kind: "quiet", title: "Undo (Ctrl Z)", onClick: () => args.undo() });
  const redo = button({ icon: "redo", kind: "quiet", title: "Redo (Ctrl Shift Z)", onClick: () => args.redo() });
  const share = button({ icon: "share", kind: "quiet", title: "Copy a link to this picture", onClick: copyLink });
  const look = button({ icon: "moon", kind: "quiet", title: "Dark or light (T)", onClick: toggleTheme });
  const ask = button({ icon: "help", kind: "quiet", title: "Help and keys (?)", onClick: help });
  fill(place, undo, redo, share, look, ask);

  const update = () => {
    undo.disabled = !args.canUndo;
    redo.disabled = !args.canRedo;
  };
  args.subscribe(update);
  update();
  const sign = () => fill(look, icon(theme() === "dark" ? "sun" : "moon"));
  onTheme(sign);
  sign();

  async function copyLink() {
    await copy(args.link(), "Link copied. It opens this very picture on this machine.", studio);
  }

  const group = "Everywhere";
  bind(
    { key: "ctrl+z", says: "Undo", group, run: () => args.undo() },
    { key: "ctrl+shift+z", says: "Redo", group, run: () => args.redo() },
    { key: "ctrl+y", says: "Redo", group, run: () => args.redo() },
    { key: "t", says: "Dark or light", group, run: toggleTheme },
    { key: "?", says: "This sheet", group, run: help },
  );
}

/** @param {string} text @param {string} done @param {import("./types.js").Studio} studio */
export async function copy(text, done, studio) {
  try {
    await navigator.clipboard.writeText(text);
    studio.toast(done, { kind: "good" });
  } catch {
    studio.toast("This browser does not let the page copy; select the text and copy it.");
  }
}
