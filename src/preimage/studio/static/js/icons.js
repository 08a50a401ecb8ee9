// @ts-check
/** Icons: stroked paths in a box of 24 × 24. */

/** @type {Record<string, string>} */
const PATHS = {
  map: "M9 4 3 6.5v13.5l6-2.5 6 2.5 6-2.5V4l-6 2.5L9 4Zm0 0v13.5m6-11V20",
  sliders: "M4 7h9m5 0h2M4 17h2m5 0h9M15.5 4.5v5M8.5 14.5v5",
  blend: "M9 18a6 6 0 1 1 0-12 6 6 0 0 1 0 12Zm6 0a6 6 0 1 1 0-12 6 6 0 0 1 0 12Z",
  keep: "M6 4h12v16l-6-4.5L6 20V4Z",
  image: "M4 5h16v14H4V5Zm0 11 5-5 4 4 2-2 5 5M15.5 9.5h.01",
  dice: "M5 5h14v14H5V5Zm4 4h.01M15 9h.01M12 12h.01M9 15h.01M15 15h.01",
  undo: "M8 5 4 9l4 4M4 9h10a5 5 0 0 1 0 10h-3",
  redo: "m16 5 4 4-4 4m4-4H10a5 5 0 0 0 0 10h3",
  reset: "M5 12a7 7 0 1 0 2.2-5.1L5 9m0-5v5h5",
  eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12ZM12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6Z",
  compare: "M12 3v18M4 6h5v12H4V6Zm11 0h5v12h-5V6Z",
  grid: "M4 4h6v6H4V4Zm10 0h6v6h-6V4ZM4 14h6v6H4v-6Zm10 0h6v6h-6v-6Z",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8Zm0-14v2m0 16v2M4.9 4.9l1.4 1.4m11.4 11.4 1.4 1.4M2 12h2m16 0h2M4.9 19.1l1.4-1.4M17.7 6.3l1.4-1.4",
  moon: "M20 14.5A8 8 0 0 1 9.5 4 8 8 0 1 0 20 14.5Z",
  help: "M9 9a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.2-1.5 2.4M12 17.5h.01M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Z",
  share: "M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.7-5.7L12 7m2 3a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.7 5.7L12 17",
  close: "m6 6 12 12M18 6 6 18",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  fit: "M4 9V4h5m6 0h5v5m0 6v5h-5m-6 0H4v-5",
  lasso: "M12 14c-5 0-8-2-8-5s3-5 8-5 8 2 8 5-3 5-8 5Zm-5-1c-2 1-2 4 0 4.5 1.5.400 2 1.5 1 3",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14Zm5-2 5 5",
  download: "M12 4v11m-4.5-4.5L12 15l4.5-4.5M5 20h14",
  copy: "M9 9h11v11H9V9Zm-4 6H4V4h11v1",
  trash: "M5 7h14M10 7V4h4v3m3 0-1 13H8L7 7",
  play: "M8 5v14l11-7L8 5Z",
  pause: "M8 5v14m8-14v14",
  film: "M4 5h16v14H4V5Zm4 0v14m8-14v14M4 9.7h4m8 0h4M4 14.3h4m8 0h4",
  swap: "M7 4 3 8l4 4M3 8h14m0 12 4-4-4-4m4 4H7",
  pointer: "m6 4 13 7-6 1.5L10.5 19 6 4Z",
  target: "M12 19a7 7 0 1 0 0-14 7 7 0 0 0 0 14Zm0-17v5m0 10v5M2 12h5m10 0h5",
  smooth: "M3 17c4 0 5-10 9-10s5 10 9 10",
  pixels: "M4 4h16v16H4V4Zm8 0v16M4 12h16M4 8h8M8 4v8m4 4h8m-4-4v8",
  check: "m5 12.5 4.5 4.5L19 7",
  alert: "M12 4 2.5 20h19L12 4Zm0 6v4.5m0 2.7h.01",
  chevron: "m9 6 6 6-6 6",
  brush: "M20 4c-4 1-8 5-10 9l2 2c4-2 7-6 8-11ZM9.5 13.5C6 13.5 7 18 3.5 19c3 2 8 1 8-3.5",
  spark: "M12 3c.5 5 3.5 8 9 9-5.5 1-8.5 4-9 9-.5-5-3.5-8-9-9 5.5-1 8.5-4 9-9Z",
  shield: "M12 3 5 6v6c0 4.5 3 7.5 7 9 4-1.5 7-4.5 7-9V6l-7-3Zm-3 9 2.2 2.2L15.5 10",
  tag: "M4 4h8l8.5 8.5-8 8L4 12V4Zm4.5 4.5h.01",
  train: "M4 19V5m0 14h16M7 15l4-4 3 2 5-7",
  jobs: "M4 6h10M4 12h7M4 18h5m6-2 2.5 2.5L22 14",
  upload: "M12 16V5m-4.5 4.5L12 5l4.5 4.5M5 20h14",
  restore: "M12 8v4.5l3 2M5 12a7 7 0 1 0 2.2-5.1L5 9m0-5v5h5",
};

/** @param {string} name @returns {SVGSVGElement} */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name] ?? PATHS.spark);
  svg.append(path);
  return svg;
}
