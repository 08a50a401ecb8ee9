// @ts-check
/** States of the page in words: captions, names for a screen reader, numbers. */

/** @typedef {import("./types.js").Base} Base */
/** @typedef {import("./types.js").Args} Args */

/** A number as people write it: 1.5, −0.25, 0. @param {number} value @param {number} [digits] */
export function number(value, digits = 2) {
  const text = Number(value.toFixed(digits)).toString();
  return text.replace("-", "−");
}

/** The name of an attribute as people write it: hair_style=bob → hair style: bob. @param {string} name */
export const pretty = (name) => name.replaceAll("_", " ").replace(/[=:] */, ": ");

/** @param {number} value */
export const signed = (value) => (value > 0 ? "+" : "") + number(value);

/** @param {Base} base @returns {string} */
export function describe(base) {
  switch (base.kind) {
    case "mean":
      return "The mean picture";
    case "sample":
      return `Sample ${base.seed}`;
    case "item":
      return `Image ${base.index} of the data`;
    case "image":
      return "Your image";
    case "latent":
      return "A kept latent";
    case "map":
      return `Point (${number(base.x)}, ${number(base.y)}) of the map`;
    case "blend":
      return `${Math.round(base.t * 100)} % of the way from A to B`;
    case "arithmetic":
      return "A − B + C";
    default:
      return "A picture";
  }
}

/** @param {Args} args */
export function describeEdits(args) {
  const moves = Object.entries(args.moves).map(([name, by]) => `${directionName(name)} ${signed(by)}`);
  const dims = Object.entries(args.dims).map(([name, by]) => `latent ${name} ${signed(by)}`);
  return [...moves, ...dims].join(", ");
}

/** @param {Args} args */
export const edited = (args) =>
  Object.keys(args.moves).length > 0 || Object.keys(args.dims).length > 0;

/** `pca:1` as people say it. @param {string} name */
export function directionName(name) {
  const [kind, number] = name.split(":");
  const words = { pca: "component", features: "feature component", sefa: "weights", jacobian: "Jacobian" };
  const word = words[/** @type {keyof typeof words} */ (kind)];
  return word && number !== undefined ? `${word} ${number}` : pretty(name);
}

/** A record without one of its names. @template T @param {Record<string, T>} record
 * @param {string} name @returns {Record<string, T>} */
export function without(record, name) {
  const { [name]: _, ...rest } = record;
  return rest;
}
