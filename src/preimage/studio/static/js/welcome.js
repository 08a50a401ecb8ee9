// @ts-check
/** Three steps for a first visit; gone for good when it is dismissed. */

import { button, fill, h } from "./dom.js";

const KEY = "preimage-welcome";

/** @param {import("./types.js").Studio} studio */
export function welcome(studio) {
  try {
    if (localStorage.getItem(KEY)) return;
  } catch {
    return; // it could not be dismissed for good
  }
  const steps = [
    {
      title: "Every point is a picture",
      text: "Move the pointer over the map, between the images too. The picture beside it is drawn as you go. Click to hold it.",
      go: () => {},
    },
    {
      title: "Change one thing",
      text: "Each slider moves the picture in one direction. Double-click a slider to put it back; hold O to see the original.",
      go: () => studio.go("sliders"),
    },
    {
      title: "Mix, then keep",
      text: "Blend two pictures and walk from one to the other. Keep what you like: as an image, an animation, a link, or a command line.",
      go: () => studio.go("blend"),
    },
  ];
  let at = 0;
  const card = h("aside", { class: "welcome", "aria-label": "Welcome" });
  document.body.append(card);
  document.addEventListener("keydown", leave);
  show();

  function show() {
    const { title, text } = steps[at];
    const dots = h("span", { class: "dots", "aria-hidden": "true" }, steps.map((_, i) => h("i", { class: i === at ? "on" : "" })));
    fill(
      card,
      h("p", { class: "count" }, `${at + 1} of ${steps.length}`),
      h("h2", null, title),
      h("p", null, text),
      h(
        "div",
        { class: "spread" },
        button({ label: "Skip", kind: "quiet", onClick: end }),
        dots,
        button({ label: at + 1 < steps.length ? "Next" : "Start", kind: "primary", onClick: next }),
      ),
    );
  }

  function next() {
    at += 1;
    if (at === steps.length) return end();
    steps[at].go();
    show();
    /** @type {HTMLElement | null} */ (card.querySelector(".primary"))?.focus();
  }

  /** @param {KeyboardEvent} event */
  function leave(event) {
    if (event.key === "Escape") end();
  }

  function end() {
    card.remove();
    document.removeEventListener("keydown", leave);
    try {
      localStorage.setItem(KEY, "seen");
    } catch {
      return; // it comes again next time
    }
  }
}
