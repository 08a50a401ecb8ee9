// @ts-check
/** Bring your own image: the latent behind it, watched; then it is edited like any other. */

import { button, field, fill, h, select } from "../dom.js";
import { dropzone } from "../drag.js";
import { icon as sign } from "../icons.js";
import { card, guarded } from "../jobs/card.js";
import { curve } from "../jobs/curve.js";
import { finding, picture, pictures } from "../jobs/figures.js";
import { hasEnded, jobsOf } from "../jobs/store.js";

/** @typedef {import("../types.js").Base} Base */
/** @typedef {import("../jobs/store.js").Job} Job */

export const id = "bring";
export const title = "Your image";
export const icon = "image";
export const key = "i";
export const hint = "Bring a picture of your own. The studio looks for the point of the latent space that draws it.";

/** @param {import("../types.js").Session} session */
export const available = (session) => session.panels.bring === true;

/** @param {HTMLElement} element @param {import("../types.js").Studio} studio */
export function mount(element, studio) {
  const jobs = jobsOf(studio);
  const { session } = studio;
  /** @type {string | null} the image that is worked on */
  let current = null;
  /** @type {string | null} */
  let jobId = null;

  const file = h("input", { type: "file", accept: "image/*", multiple: true, hidden: true });
  const choose = button({ label: "Choose an image…", icon: "upload", kind: "primary", onClick: () => file.click() });
  const classes = select(
    [{ value: "", label: "Find it" }, ...session.classes.map((name) => ({ value: name, label: name }))],
    { onChange: () => current && search(current) },
  );
  const zone = h(
    "div",
    { class: "dropzone" },
    sign("image"),
    h("p", null, "Drop an image here, paste it, or"),
    choose,
    file,
  );
  const brought = h("div", { class: "thumbs brought", role: "list", "aria-label": "Images you brought" });
  const yours = picture("Yours");
  const found = picture("The model’s");
  const both = pictures(yours.element, found.element);
  both.hidden = true;
  const falling = curve({ series: [{ key: "error", label: "Error" }], title: "The error as it falls", logarithmic: true });
  const status = card(jobs, { onAgain: () => current && search(current) });
  const said = h("div", { class: "findings", "aria-live": "polite" });
  const shownButton = button({ label: "Take the picture shown", icon: "eye", kind: "quiet", onClick: takeShown });
  fill(
    element,
    zone,
    session.conditional ? field("Its class", classes) : null,
    brought,
    both,
    status.element,
    falling.element,
    said,
    shownButton,
  );

  file.addEventListener("change", () => {
    const files = [...(file.files ?? [])];
    file.value = "";
    takeFiles(files);
  });
  dropzone(element, (base) => (base.kind === "image" ? begin(base.id) : studio.show(base)), { files: true });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])].filter((one) => one.type.startsWith("image/"));
    if (!files.length) return;
    event.preventDefault();
    studio.go(id);
    takeFiles(files);
  });
  jobs.follow(() => jobId, draw);
  jobs.subscribe((job) => !job && restore());
  studio.bring = begin;
  restore();
  list();

  /** After a reload: the search that goes on, or the last one of the image shown. */
  function restore() {
    if (jobId) return;
    const { base } = studio.args.get();
    const job =
      jobs.latest("invert", (one) => !hasEnded(one)) ??
      jobs.latest("invert", (one) => base.kind === "image" && one.result?.image === base.id);
    if (!job) return;
    jobId = job.id;
    current = job.result?.image ?? null;
    guarded(jobs, () => jobs.whole(job.id));
  }

  /** @param {File[]} files */
  async function takeFiles(files) {
    for (const one of files) {
      await guarded(jobs, async () => {
        studio.say(`Reading ${one.name}`);
        const { id: image } = await studio.upload(one);
        if (one === files.at(-1)) await begin(image);
      });
    }
    list();
  }

  /** @param {string} image */
  async function begin(image) {
    if (session.encoder) studio.show({ kind: "image", id: image });
    await search(image);
    list();
  }

  /** @param {string} image */
  async function search(image) {
    current = image;
    const body = { image, label: classes.value || null };
    await guarded(jobs, async () => watch(await jobs.start("invert", body)));
  }

  async function takeShown() {
    const args = studio.args.get();
    current = args.base.kind === "image" ? args.base.id : null;
    await guarded(jobs, async () => watch(await jobs.start("invert", { args })));
  }

  /** @param {Job} job */
  function watch(job) {
    if (jobId && jobId !== job.id) {
      const before = jobs.all.get(jobId);
      if (before && !hasEnded(before)) guarded(jobs, () => jobs.cancel(before.id));
    }
    jobId = job.id;
    known = "";
    draw(jobs.all.get(job.id) ?? job);
  }

  let known = "";

  /** @param {Job} job */
  function draw(job) {
    const files = job.result?.files ?? {};
    const path = `jobs/${job.id}`;
    both.hidden = false;
    yours.set(current ? studio.url(`images/${current}`) : files.target ? studio.url(`${path}/files/target.png`) : null);
    found.set(
      files.found
        ? studio.url(`${path}/files/found.png`)
        : job.preview
          ? studio.url(`${path}/preview?v=${job.preview}`)
          : null,
      files.found ? "The model’s" : "Searching…",
    );
    status.show(job);
    falling.draw(job.points ?? []);
    tell(job);
    const latent = job.result?.latents?.[0];
    if (latent && known !== `${job.id} ${job.status}`) {
      showFound(known.split(" ")[0] !== job.id);
      known = `${job.id} ${job.status}`;
    }
  }

  /** The image by its new latent; where it is shown, the event has it drawn again.
   * @param {boolean} first */
  function showFound(first) {
    const { base } = studio.args.get();
    if (!current) return;
    const shown = base.kind === "image" && base.id === current;
    if (!shown && first && !session.encoder) studio.show({ kind: "image", id: current });
    if (first) studio.say("Found. You can edit it now.");
  }

  /** What the image says of itself. @param {Job} job */
  function tell(job) {
    const { verdict, undetermined, solutions, files } = job.result ?? {};
    const parts = [];
    if (verdict) {
      parts.push(
        finding(
          verdict.typical ? "good" : "doubt",
          verdict.typical ? "The model knows such images" : "The model hardly knows such images",
          `${sentence(verdict.words)} ${sentence(verdict.search)}`,
        ),
      );
    }
    if (undetermined) parts.push(finding("plain", "What it leaves open", sentence(undetermined)));
    if (files?.uncertainty) {
      const map = picture("Where it is unsure (light: most)");
      map.set(studio.url(`jobs/${job.id}/files/${files.uncertainty}`));
      parts.push(pictures(map.element));
    }
    if (solutions) parts.push(finding("plain", "Other solutions", sentence(solutions)));
    const others = Object.keys(files ?? {}).filter((name) => name.startsWith("solution "));
    if (others.length) {
      parts.push(
        pictures(
          ...others.map((name, k) => {
            const latent = job.result?.latents[k + 1];
            const one = picture(`Solution ${k + 2}`, { onClick: () => studio.show({ kind: "latent", id: latent }) });
            one.set(studio.url(`jobs/${job.id}/files/${files[name]}`));
            return one.element;
          }),
        ),
      );
    }
    fill(said, parts);
  }

  /** The images that were brought so far. */
  async function list() {
    await guarded(jobs, async () => {
      /** @type {{id: string}[]} */
      const images = await studio.api("images");
      brought.hidden = images.length === 0;
      zone.classList.toggle("compact", images.length > 0);
      fill(
        brought,
        images.map(({ id: image }, k) =>
          h(
            "button",
            { type: "button", class: "plain", role: "listitem", title: `Image ${k + 1}`, on: { click: () => reopen(image) } },
            h("img", { class: "thumb", src: studio.url(`images/${image}`), alt: `Image ${k + 1} that you brought` }),
          ),
        ),
      );
    });
  }

  /** @param {string} image */
  async function reopen(image) {
    studio.show({ kind: "image", id: image });
    const job = jobs.latest("invert", (one) => one.result?.image === image);
    if (!job) return search(image);
    current = image;
    jobId = job.id;
    await guarded(jobs, () => jobs.whole(job.id));
  }

  return { shown: list };
}

/** Words as a sentence. @param {string} words */
const sentence = (words) => (words ? `${words[0].toUpperCase()}${words.slice(1)}${/[.!?]$/.test(words) ? "" : "."}` : "");
