// One query of a run, a trace, or a request that is being answered.

import { ask, download } from "./api.js";
import { copier } from "./copy.js";
import { h } from "./dom.js";
import { keepingFocus } from "./focus.js";
import { count } from "./format.js";
import { LIST, go, only, to } from "./route.js";
import { storyView } from "./story.js";

const FOLLOW = 2000;
const SIZE = 50;
// Settings of a story: the selected candidate, and the two that are compared.
const SHOWN_IN = ["at", "from", "to"];

export async function queryRoom(settings, room) {
  const list = only(settings, LIST);
  if (settings.id === undefined) {
    // A dot of a chart knows the row and not the id.
    const { name } = await ask("story", { run: settings.run, row: settings.row });
    go("query", { run: settings.run, id: name, ...list }, { replace: true });
    return h("div", {});
  }
  const where = { run: settings.run, id: settings.id };
  const [story, near] = await Promise.all([ask("story", where), ask("neighbours", { ...where, ...list })]);
  const page = near.position === null ? settings.page : Math.ceil(near.position / SIZE);
  const back = { run: settings.run, ...list, page: page > 1 ? page : null };
  const trail = crumbs([["Runs", to("")], [settings.run, to("run", back)], [settings.id, null]]);
  const turn = (label, id, step, key) =>
    id === null
      ? h("span", { class: "muted" }, label)
      : h("a", { href: to("query", { ...back, id, page: Math.ceil((near.position + step) / SIZE) }), rel: step < 0 ? "prev" : "next", "data-hotkey": key, "aria-keyshortcuts": key, title: `Key ${key}` }, label);
  const turns = h(
    "nav",
    { class: "turns", "aria-label": "Queries" },
    turn("← Previous", near.before, -1, "k"),
    h("span", { class: "muted" }, near.position === null ? "not in the list" : `${count(near.position)} of ${count(near.matched)}`),
    turn("Next →", near.after, 1, "j"),
  );
  return shown(story, room, "story", where, [h("div", { class: "where" }, trail, turns)], [exporting(where, room)]);
}

export async function traceRoom(settings, room) {
  const where = { trace: settings.trace };
  const trail = h("div", { class: "where" }, crumbs([["Runs", to("")], [settings.trace, null]]));
  return shown(await ask("story", where), room, "story", where, [trail], [exporting(where, room)]);
}

export async function liveRoom(settings, room) {
  const where = { id: settings.id };
  const trail = h("div", { class: "where" }, crumbs([["Runs", to("")], [settings.id, null]]));
  return shown(await ask("live/story", where), room, "live/story", where, [trail]);
}

export function crumbs(places) {
  const one = ([name, address]) => h("li", {}, address === null ? h("span", { "aria-current": "page" }, name) : h("a", { href: address }, name));
  return h("nav", { "aria-label": "Breadcrumb" }, h("ol", { class: "crumbs" }, places.map(one)));
}

function shown(story, room, path, where, above, more = []) {
  let now = story;
  let own = false; // a choice within the story, which has drawn it already
  const change = (news) => {
    own = true;
    room.change(news);
  };
  const view = () => storyView(now, { actions: [...copies(() => now), ...more], settings: room.settings, change });
  const box = h("div", {}, view());
  room.onChange(SHOWN_IN, () => {
    if (!own) box.replaceChildren(view());
    own = false;
  });
  if (story.state === "open") {
    let before = JSON.stringify(story);
    room.every(FOLLOW, async () => {
      now = await ask(path, where);
      const text = JSON.stringify(now);
      if (text !== before) await keepingFocus(() => box.replaceChildren(view()));
      before = text;
      return now.state === "open";
    });
  }
  return h("div", {}, above, box);
}

export function copies(story) {
  const answer = () => story().steps.flatMap((step) => step.candidates).find((one) => one.id === story().answer)?.text ?? "";
  return [
    copier("Copy answer", answer),
    copier("Copy link", () => location.href),
    copier("Copy as JSON", () => JSON.stringify(story(), null, 2)),
  ];
}

function exporting(where, room) {
  return h("button", { type: "button", on: { click: () => room.attempt(() => download("export", where, "story.html")) } }, "Save as one HTML file");
}
