// @ts-check
/** The studio starts here: what is opened, what is kept, and which parts look at it. */

import { api, upload, url } from "./api.js";
import { fill, h } from "./dom.js";
import { openEvents } from "./events.js";
import { openHelp } from "./help.js";
import { drift } from "./idle.js";
import { bind } from "./keys.js";
import { Live } from "./live.js";
import { openMap } from "./map/map.js";
import { openView } from "./panels/view.js";
import { name } from "./name.js";
import { Picker } from "./pick.js";
import { openRail } from "./rail.js";
import { Selection } from "./selection.js";
import { Store, decode } from "./state.js";
import { say, toast } from "./toast.js";
import { openTools } from "./tools.js";
import { welcome } from "./welcome.js";

/** @typedef {import("./types.js").Session} Session */

/** @param {string} id */
const place = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

async function start() {
  /** @type {Session} */
  const session = await api("session");
  const restored = decode(location.hash.slice(1));
  const seed = Math.floor(Math.random() * 10000);
  const args = new Store(
    restored ?? {
      base: { kind: "sample", seed },
      moves: {},
      dims: {},
      label: session.conditional ? (session.classes[0] ?? null) : null,
    },
  );
  const live = new Live();
  args.subscribe((shown) => live.want(shown));
  live.watch((up) => line(up ? "" : "Connection lost. Trying again…"));

  /** @type {Set<(session: Session) => void>} */
  const renewed = new Set();
  const picker = new Picker(h("div", { class: "picker" }), () => args.get().base, say);
  /** @type {import("./types.js").Studio} */
  const studio = {
    session,
    args,
    live,
    select: new Selection(),
    events: openEvents(),
    api,
    url,
    upload,
    toast,
    say,
    pick: (request) => {
      if (matchMedia("(max-width: 760px)").matches) studio.go("map");
      return picker.ask(request);
    },
    show: (base) => args.patch({ base }),
    bring: () => {},
    overlay: () => {},
    go: () => {},
    async refresh() {
      Object.assign(session, await api("session"));
      for (const listener of renewed) listener(session);
    },
    onSession(listener) {
      renewed.add(listener);
      return () => renewed.delete(listener);
    },
  };

  studio.events.subscribe("session", () => renew(studio));
  studio.events.subscribe("open", async (again) => {
    if (!again) return;
    await renew(studio).catch(() => {}); // lost once more: it is asked for when it is back
    live.renew(args.shown());
  });
  for (const news of ["geodesic", "latent"]) studio.events.subscribe(news, () => live.renew(args.shown()));
  studio.events.subscribe("map", () => live.forget());
  name(place("run"), studio);
  studio.overlay = openView(place("view"), studio).overlay;
  openMap(place("map"), studio, picker);
  const rail = openRail(studio);
  studio.go = rail.go;
  for (const [key, panel] of Object.entries(rail.keys)) {
    bind({ key, says: panel.title, group: "Panels", run: () => studio.go(panel.id) });
  }
  bind({ key: "m", says: "Map", group: "Panels", run: () => focusMap(studio) });
  openTools(place("tools"), studio, openHelp(session));
  rail.first();
  live.want(args.shown());
  if (!restored) drift(studio, seed);
  welcome(studio);
  document.documentElement.dataset.ready = "true";
}

/** @param {import("./types.js").Studio} studio */
function focusMap(studio) {
  studio.go("map");
  /** @type {HTMLElement | null} */ (document.querySelector("#map canvas"))?.focus();
}

/** The session has changed: more is known of the run, or another run was opened.
 * @param {import("./types.js").Studio} studio */
async function renew(studio) {
  const { id } = studio.session;
  studio.live.forget();
  await studio.refresh();
  if (studio.session.id === id) return;
  history.replaceState(null, "", location.pathname); // the state was one of the other run
  location.reload();
}

/** A calm line in the bar, or none. @param {string} message */
function line(message) {
  const element = place("line");
  element.textContent = message;
  element.hidden = message === "";
}

start().catch((error) => {
  console.error(error);
  fill(place("panel"), h("div", { class: "panel-body" }, h("p", { class: "error" }, error.message)));
});
