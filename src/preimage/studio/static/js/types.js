// @ts-check
/** The nouns that the studio's modules share; types only. */

/**
 * Where a picture starts from. See `args.py`.
 * @typedef {{kind: "mean"}
 *   | {kind: "sample", seed: number}
 *   | {kind: "item", index: number}
 *   | {kind: "image", id: string}
 *   | {kind: "latent", id: string}
 *   | {kind: "map", x: number, y: number, on?: string}
 *   | {kind: "blend", a: Base, b: Base, t: number, path: "lerp" | "slerp" | "geodesic"}
 *   | {kind: "arithmetic", a: Base, b: Base, c: Base}} Base
 */

/**
 * The whole state of the page: what is rendered, and what the address bar holds.
 * @typedef {{base: Base, moves: Record<string, number>, dims: Record<string, number>,
 *   label: string | null}} Args
 */

/**
 * @typedef {{name: string, kind: "named" | "unlabelled" | "counterfactual", unit: string,
 *   low: number, high: number, accuracy?: number, r_squared?: number}} Direction
 */

/** @typedef {{index: number, low: number, high: number, sd: number, active: boolean}} Dimension */

/**
 * @typedef {{id: string, name: string, recipe: string, runs: number,
 *   image: {channels: number, height: number, width: number},
 *   latents: number | null, shape: number[], classes: string[], conditional?: boolean,
 *   encoder: boolean, critic: boolean,
 *   data: {name: string, n: number, attributes: string[], categories: Record<string, string[]>},
 *   directions: Direction[], dims: Dimension[], exports: string[],
 *   panels: Record<string, boolean>, limits: {upload_bytes: number}, version: string}} Session
 */

/**
 * One decoded picture as it arrives.
 * @typedef {{id: number, args: Args, width: number, height: number, channels: number,
 *   fade: number, ms: number, wait: number, pixels: Uint8Array,
 *   error: {error: string, where: string} | null}} Frame
 */

/**
 * What every panel is given.
 * @typedef {object} Studio
 * @property {Session} session
 * @property {import("./state.js").Store} args
 * @property {import("./live.js").Live} live
 * @property {import("./selection.js").Selection} select
 * @property {{subscribe: (kind: string, fn: (value: any) => void) => () => void}} events
 * @property {(path: string, options?: {method?: string, body?: any, raw?: boolean}) => Promise<any>} api
 * @property {(path: string) => string} url
 * @property {(blob: Blob) => Promise<{id: string, width: number, height: number}>} upload
 * @property {(message: string, options?: {kind?: "plain" | "error" | "good"}) => void} toast
 * @property {(message: string) => void} say
 * @property {(request: {title: string}) => Promise<Base | null>} pick
 * @property {(base: Base) => void} show
 * @property {(image: string) => void} bring  search for the latent of an image; of its panel, when that is open
 * @property {(picture: {image: Blob | ImageBitmap | string, caption: string} | null) => void} overlay
 * @property {(id: string) => void} go
 * @property {() => Promise<void>} refresh  fetches the session again (new directions)
 * @property {(fn: (session: Session) => void) => () => void} onSession
 */

/**
 * @typedef {object} Panel
 * @property {string} id
 * @property {string} title
 * @property {string} icon
 * @property {string} key  the letter that opens it
 * @property {string} hint  one line for a person who has never heard of it
 * @property {(session: Session) => boolean} available
 * @property {(element: HTMLElement, studio: Studio) =>
 *   void | {shown?: () => void, hidden?: () => void}} mount
 */

export {};
