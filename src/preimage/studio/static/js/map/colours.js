// @ts-check
/**
 * Colours that people with any colour vision can tell apart: Okabe and Ito's for kinds (then Tol's
 * "muted"), viridis for amounts, cut where it would vanish on the ground.
 */

/** @typedef {{name: string, kind: "number" | "category", categories?: string[], low?: number,
 *   high?: number}} Column */

const KINDS = {
  light: ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b58900", "#3f9fd8", "#882255", "#6b5fb5", "#5f6b1f", "#994f00", "#117733", "#ac4a5c"],
  dark: ["#56b4e9", "#f08a3c", "#2bc79a", "#e79ac4", "#f0e442", "#8f9bff", "#d7679b", "#b7a3f0", "#bfcf6a", "#d0904f", "#5fb878", "#ef8f9f"],
};
const VIRIDIS = ["#440154", "#482878", "#3e4a89", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
const PLAIN = { light: "#4c4d55", dark: "#b9b6ae" };
const UNKNOWN = { light: "#b3aea4", dark: "#4b4d55" };
export const DIM = 26; // alpha, of 255, of a point that is not lit

/** @typedef {"light" | "dark"} Theme */

/** @param {Theme} theme @param {number} kind */
export const kindColour = (theme, kind) => KINDS[theme][kind % KINDS[theme].length];

/** The stops of the scale of amounts. @param {Theme} theme */
export const amounts = (theme) => (theme === "dark" ? VIRIDIS.slice(2) : VIRIDIS.slice(0, 9));

/** @param {string} hex @returns {[number, number, number]} */
const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

/**
 * Writes the colour of every point, RGBA.
 * @param {Uint8Array} out (4 n)
 * @param {Column | null} column
 * @param {Float32Array | null} values (n) index of the category or amount; NaN where not known
 * @param {Uint8Array} lit (n)
 * @param {Theme} theme
 */
export function paintColours(out, column, values, lit, theme) {
  const unknown = rgb(UNKNOWN[theme]);
  const plain = rgb(PLAIN[theme]);
  const kinds = KINDS[theme].map(rgb);
  const stops = amounts(theme).map(rgb);
  const low = column?.low ?? 0;
  const span = Math.max((column?.high ?? 1) - low, 1e-9);
  for (let i = 0; i < lit.length; i += 1) {
    let colour = plain;
    if (column && values) {
      const value = values[i];
      if (Number.isNaN(value)) colour = unknown;
      else if (column.kind === "category") colour = kinds[value % kinds.length];
      else {
        const at = Math.min(1, Math.max(0, (value - low) / span));
        colour = stops[Math.round(at * (stops.length - 1))];
      }
    }
    out[4 * i] = colour[0];
    out[4 * i + 1] = colour[1];
    out[4 * i + 2] = colour[2];
    out[4 * i + 3] = lit[i] ? 255 : DIM;
  }
}
