// @ts-check
/** The panels, in the order of the rail. A panel that is not available here is absent. */

import * as blend from "./panels/blend.js";
import * as bring from "./panels/bring.js";
import * as check from "./panels/check.js";
import * as jobs from "./panels/jobs.js";
import * as keep from "./panels/keep.js";
import * as mend from "./panels/mend.js";
import * as name from "./panels/name.js";
import * as restore from "./panels/restore.js";
import * as search from "./panels/search.js";
import * as sliders from "./panels/sliders.js";
import * as train from "./panels/train.js";

/** @type {import("./types.js").Panel[]} */
export const PANELS = [
  sliders,
  bring,
  blend,
  mend,
  restore,
  search,
  check,
  name,
  keep,
  train,
  jobs,
];
