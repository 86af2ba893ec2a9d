// A text that a model or a person wrote: rendered or raw, and folded where it is long.

import { h } from "./dom.js";
import { count } from "./format.js";
import { markdown } from "./markdown.js";

const KEY_READING = "tpo-reading";
// Characters and lines above which a text is folded.
const LONG = 1600;
const LINES = 30;

let raw = stored() === "raw";

function stored() {
  try {
    return localStorage.getItem(KEY_READING);
  } catch {
    return null; // a file opened by itself may have no storage
  }
}

// The text as it stands, with its own lines and direction.
export function plain(text, props = {}) {
  return h("div", { dir: "auto", ...props, class: `prose ${props.class ?? ""}`.trim() }, text);
}

export function reading(text, { className = "", fold = true } = {}) {
  const body = h("div", { class: `reading ${className}`.trim() });
  body.redraw = () => body.replaceChildren(raw ? plain(text) : h("div", { class: "rendered", dir: "auto" }, markdown(text)));
  body.redraw();
  if (!fold || !long(text)) return body;
  const button = h("button", { type: "button", class: "more", "aria-expanded": "false" });
  const show = (open) => {
    body.classList.toggle("cut", !open);
    button.setAttribute("aria-expanded", open);
    button.textContent = open ? "Show less" : `Show all ${count(text.length)} characters`;
  };
  button.addEventListener("click", () => show(button.getAttribute("aria-expanded") !== "true"));
  show(false);
  return h("div", {}, body, button);
}

function long(text) {
  return text.length > LONG || text.split("\n", LINES + 1).length > LINES;
}

// The switch between both ways of reading, for all texts on the page.
export function readingSwitch() {
  const buttons = [["Rendered", false], ["Raw", true]].map(([name, value]) =>
    h("button", { type: "button", "aria-pressed": String(raw === value), on: { click: () => set(value) } }, name));
  const set = (value) => {
    raw = value;
    try {
      localStorage.setItem(KEY_READING, value ? "raw" : "rendered");
    } catch {
      // It is remembered for as long as the page is open.
    }
    buttons.forEach((button, at) => button.setAttribute("aria-pressed", String((at === 1) === raw)));
    for (const body of document.querySelectorAll(".reading")) body.redraw();
  };
  return h("span", { class: "switch", role: "group", "aria-label": "Texts" }, buttons);
}
