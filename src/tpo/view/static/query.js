// One query of a run, a trace, or a request that is being answered.

import { ask, download } from "./api.js";
import { h } from "./dom.js";
import { to } from "./route.js";
import { storyView } from "./story.js";

const EVERY = 2000;

export async function queryRoom(settings, room) {
  const where = { run: settings.run, id: settings.id };
  const back = h("a", { href: to("run", { run: settings.run, over: settings.over }) }, `← ${settings.run}`);
  return told(room, "story", where, [back, exporting(where, room)]);
}

export async function traceRoom(settings, room) {
  const where = { trace: settings.trace };
  return told(room, "story", where, [h("a", { href: to("") }, "← runs"), exporting(where, room)]);
}

export async function liveRoom(settings, room) {
  return told(room, "live/story", { id: settings.id }, [h("a", { href: to("") }, "← runs")]);
}

async function told(room, path, where, actions) {
  const story = await ask(path, where);
  const box = h("div", {}, storyView(story, actions));
  let before = JSON.stringify(story);
  if (story.state === "open") {
    room.every(EVERY, async () => {
      const now = await ask(path, where);
      const text = JSON.stringify(now);
      if (text !== before) box.replaceChildren(storyView(now, actions));
      before = text;
      return now.state === "open";
    });
  }
  return box;
}

function exporting(where, room) {
  return h("button", { type: "button", on: { click: () => room.attempt(() => download("export", where, "story.html")) } }, "Save as one HTML file");
}
