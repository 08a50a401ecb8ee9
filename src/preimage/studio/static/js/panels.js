// @ts-check
/** The panels, in the order of the rail. A panel that is not available here is absent. */

import * as blend from "./panels/blend.js";
import * as keep from "./panels/keep.js";
import * as sliders from "./panels/sliders.js";

/** @type {import("./types.js").Panel[]} */
export const PANELS = [sliders, blend, keep];
