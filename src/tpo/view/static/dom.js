// Elements out of data. Text is only ever set as text: what a model wrote is never markup.

import { partsOf } from "./unseen.js";

const SVG = "http://www.w3.org/2000/svg";
// Elements that hold nothing but text.
const BARE = new Set(["OPTION", "TITLE", "TEXTAREA"]);

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listen] of Object.entries(value)) node.addEventListener(event, listen);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    if (child instanceof Node) node.append(child);
    else appendText(node, String(child));
  }
  return node;
}

// Characters that have no shape, and those that reorder a line, are replaced by marks wherever a text is shown.
export function appendText(node, text) {
  const bare = node.namespaceURI === SVG || BARE.has(node.tagName);
  for (const part of partsOf(text)) {
    if (typeof part === "string") node.append(part);
    else if (bare) node.append(`[${part.code}]`);
    else node.append(h("span", { class: "unseen", title: part.name }, part.code));
  }
}

// An element with attributes, listeners (`on`) and children; strings become text.
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

export function svg(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

export function folded(summary, content, { open = false, className = "" } = {}) {
  const node = h("details", { class: className, open }, h("summary", {}, summary));
  // A search may have hundreds of long prompts: each is built when it is first opened.
  const make = () => node.open && node.children.length === 1 && node.append(typeof content === "function" ? content() : content);
  if (open) make();
  node.addEventListener("toggle", make);
  return node;
}

let ids = 0;

export function fresh(prefix) {
  ids += 1;
  return `${prefix}-${ids}`;
}
