// @ts-check
/** The sheet of keys and first words, opened with `?`. */

import { button, h } from "./dom.js";
import { sheet } from "./keys.js";

const LABELS = { "ctrl+z": "Ctrl Z", "ctrl+shift+z": "Ctrl Shift Z", "ctrl+y": "Ctrl Y" };

/** @param {import("./types.js").Session} session @returns {() => void} opens or closes it */
export function openHelp(session) {
  const dialog = h("dialog", { class: "sheet", "aria-label": "Help" });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);

  return () => {
    if (dialog.open) return dialog.close();
    dialog.replaceChildren(
      h(
        "header",
        { class: "spread" },
        h("h2", null, "How this works"),
        button({ icon: "close", kind: "quiet", title: "Close", onClick: () => dialog.close() }),
      ),
      h(
        "p",
        null,
        "A generator was trained on images. It draws a picture from a short list of numbers, a ",
        h("strong", null, "latent"),
        `${session.latents ? ` (here ${session.latents} numbers)` : ""}. Near lists give like pictures, so you can walk: `,
        "point anywhere on the map, move a slider, or blend two pictures. Nothing leaves this machine.",
      ),
      h("div", { class: "groups" }, [...sheet()].map(group)),
      h("p", { class: "hint" }, `Preimage ${session.version}`),
    );
    dialog.showModal();
  };
}

/** @param {[string, import("./keys.js").Binding[]]} entry */
function group([name, bindings]) {
  return h(
    "section",
    null,
    h("h3", null, name),
    h(
      "dl",
      { class: "keys" },
      bindings.map((binding) => [
        h("dt", null, h("kbd", null, LABELS[/** @type {keyof LABELS} */ (binding.key)] ?? display(binding.key))),
        h("dd", null, binding.says),
      ]).flat(),
    ),
  );
}

/** @param {string} key */
const display = (key) => (key.length === 1 ? key.toUpperCase() : key);
