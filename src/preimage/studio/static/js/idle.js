// @ts-check
/**
 * The page is alive before anyone touches it: the picture drifts from sample to sample. It ends
 * with the first touch, after half a minute, and never starts where motion is not wanted.
 */

const LEG = 4200; // ms from one sample to the next
const ENOUGH = 34000; // ms
const STEP = 45; // ms between two pictures
const TOUCHES = ["pointerdown", "keydown", "wheel"];

/** @param {import("./types.js").Studio} studio @param {number} seed the first sample */
export function drift(studio, seed) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  const { args } = studio;
  const begun = performance.now();
  let last = 0;
  let over = false;

  /** @param {number} now */
  function step(now) {
    if (over) return;
    if (now - begun > ENOUGH) return stop();
    if (now - last >= STEP && !document.hidden && !studio.live.underway) {
      last = now;
      const way = (now - begun) / LEG;
      const leg = Math.floor(way);
      const part = way - leg;
      const t = part * part * (3 - 2 * part); // eases in and out of every sample
      args.preview({ ...args.get(), base: between(seed + leg, seed + leg + 1, t) });
    }
    requestAnimationFrame(step);
  }

  /** The picture stays where it is: what is seen is what the first move starts from. */
  function stop() {
    if (over) return;
    over = true;
    unsubscribe();
    for (const name of TOUCHES) window.removeEventListener(name, stop, { capture: true });
    map?.removeEventListener("pointermove", stop);
    const { base } = args.shown();
    if (args.passing) args.set({ ...args.get(), base: settled(base) });
  }

  const unsubscribe = args.subscribe((_, why) => why !== "preview" && stop());
  const map = document.getElementById("map");
  map?.addEventListener("pointermove", stop);
  for (const name of TOUCHES) window.addEventListener(name, stop, { capture: true, passive: true });
  requestAnimationFrame(step);
}

/** @param {number} a @param {number} b @param {number} t @returns {import("./types.js").Base} */
const between = (a, b, t) => ({
  kind: "blend",
  a: { kind: "sample", seed: a },
  b: { kind: "sample", seed: b },
  t,
  path: "slerp",
});

/** The nearer sample at the ends of a leg, the blend between. @param {import("./types.js").Base} base
 * @returns {import("./types.js").Base} */
function settled(base) {
  if (base.kind !== "blend") return base;
  if (base.t < 0.02) return base.a;
  return base.t > 0.98 ? base.b : { ...base, t: Math.round(base.t * 100) / 100 };
}
