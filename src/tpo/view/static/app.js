// The page: which room is shown, and what happens when something goes wrong.

import { ask, remember } from "./api.js";
import { compareRoom } from "./compare.js";
import { h } from "./dom.js";
import { arrivePlace, keepingFocus, leavePlace, watchPlaces } from "./focus.js";
import { playRoom } from "./play.js";
import { liveRoom, queryRoom, traceRoom } from "./query.js";
import { go, here } from "./route.js";
import { runRoom } from "./run.js";
import { runsRoom } from "./runs.js";
import { themed } from "./theme.js";

const ROOMS = {
  "": ["Runs", runsRoom],
  run: ["Run", runRoom],
  query: ["Query", queryRoom],
  trace: ["Trace", traceRoom],
  live: ["Request", liveRoom],
  compare: ["Comparison", compareRoom],
  play: ["Playground", playRoom],
};

const main = document.getElementById("main");
let current = null;

// Settings whose changes make no new entry in the history.
const SILENT = ["search", "at", "from", "to"];

// A room while it is shown, and what stops when it is left.
class Room {
  constructor(name, settings) {
    this.name = name;
    this.settings = settings;
    this.left = false;
    this.leaving = [];
    this.changing = null;
  }

  leave() {
    this.left = true;
    for (const one of this.leaving) one();
  }

  onLeave(work) {
    this.leaving.push(work);
  }

  // Again and again, each time after the last one is over, until it returns false.
  every(milliseconds, work) {
    const next = async () => {
      if (this.left) return;
      let more = true;
      if (!document.hidden) more = await this.attempt(work);
      if (more !== false) setTimeout(next, milliseconds);
    };
    setTimeout(next, milliseconds);
  }

  async attempt(work) {
    try {
      return await work();
    } catch (error) {
      if (!this.left) failed(error);
      return true;
    }
  }

  // Other settings of the same room; null takes one away.
  change(news) {
    const settings = { ...this.settings, ...news };
    for (const [name, value] of Object.entries(settings)) if (value === null || value === "") delete settings[name];
    go(this.name, settings, { replace: SILENT.some((name) => name in news) });
  }

  // Settings that change only a part of the room need not make all of it anew.
  onChange(names, work) {
    this.changing = { names, work };
  }

  takes(settings) {
    const names = new Set([...Object.keys(settings), ...Object.keys(this.settings)]);
    const changed = [...names].filter((name) => settings[name] !== this.settings[name]);
    return changed.length > 0 && this.changing !== null && changed.every((name) => this.changing.names.includes(name));
  }

  again() {
    if (!this.left) enter(this.name, this.settings, { quiet: true });
  }
}

async function arrive() {
  const { room, settings } = here();
  leavePlace();
  if (current && current.name === room && current.takes(settings)) {
    const stay = current;
    stay.settings = settings;
    await keepingFocus(() => stay.attempt(() => stay.changing.work(settings)));
    if (current === stay) arrivePlace();
    return;
  }
  await enter(room, settings);
}

async function enter(name, settings, { quiet = false } = {}) {
  current?.leave();
  const stay = new Room(name, settings);
  current = stay;
  const [title, make] = ROOMS[name] ?? ROOMS[""];
  for (const link of document.querySelectorAll("header nav a")) {
    if (link.getAttribute("href") === `#/${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  main.setAttribute("aria-busy", "true");
  if (!main.querySelector("h1")) main.replaceChildren(h("p", { class: "muted", role: "status" }, "Loading…"));
  try {
    const made = await make(settings, stay);
    if (stay.left) return;
    if (quiet) await keepingFocus(() => main.replaceChildren(made));
    else main.replaceChildren(made);
    const heading = main.querySelector("h1");
    document.title = `${heading?.textContent.slice(0, 60) || title} · tpo`;
    if (quiet) return;
    scrollTo(0, 0);
    heading?.focus({ preventScroll: true });
    arrivePlace();
  } catch (error) {
    if (stay.left) return;
    document.title = `${title} · tpo`;
    main.replaceChildren(h("h1", { tabindex: -1 }, title), h("p", {}, h("a", { href: "#/" }, "← runs")));
    failed(error);
  } finally {
    main.removeAttribute("aria-busy");
  }
}

function failed(error) {
  if (error.status === 401) {
    main.replaceChildren(keyForm());
    return;
  }
  main.querySelector(".failure")?.remove();
  main.prepend(h("p", { class: "trouble failure", role: "alert" }, error.message));
  if (!error.status && error.status !== 0) console.error(error);
}

function keyForm() {
  const field = h("input", { type: "password", autocomplete: "off", "aria-label": "API key", required: true });
  const submit = (event) => {
    event.preventDefault();
    remember(field.value);
    arrive();
  };
  return h("form", { class: "play", on: { submit } }, h("h1", {}, "API key needed"), h("p", {}, "This server needs an API key. The key is kept until this tab is closed."), h("p", { class: "controls" }, field, h("button", { type: "submit", class: "primary" }, "Continue")));
}

// A control with a shortcut key is used by that key, unless a text is being typed.
function hotkey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.key.length !== 1) return;
  if (/^(input|textarea|select)$/i.test(document.activeElement?.tagName ?? "")) return;
  const control = main.querySelector(`[data-hotkey="${CSS.escape(event.key)}"]`);
  if (!control) return;
  event.preventDefault();
  if (control.tagName === "INPUT") control.focus();
  else control.click();
}

async function begin() {
  themed(document.getElementById("theme"));
  addEventListener("hashchange", arrive);
  watchPlaces();
  addEventListener("keydown", hotkey);
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  try {
    const about = await ask("about");
    document.getElementById("to-play").hidden = !about.play;
  } catch {
    // The room shows what is wrong.
  }
  await arrive();
}

begin();
