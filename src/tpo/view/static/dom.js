// Elements out of data. Text is only ever set as text: what a model wrote is never markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listen] of Object.entries(value)) node.addEventListener(event, listen);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

// An element with attributes, listeners (`on`) and children; strings become text.
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

export function svg(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

// A text that somebody wrote: its lines are kept, and its direction is its own.
export function prose(text, props = {}) {
  return h("div", { dir: "auto", ...props, class: `prose ${props.class ?? ""}`.trim() }, text);
}

export function folded(summary, content, { open = false, className = "" } = {}) {
  const node = h("details", { class: className, open }, h("summary", {}, summary));
  // What nobody opens need not be made: a search may have hundreds of long prompts.
  const make = () => node.children.length === 1 && node.append(typeof content === "function" ? content() : content);
  if (open) make();
  node.addEventListener("toggle", make);
  return node;
}

let ids = 0;

export function fresh(prefix) {
  ids += 1;
  return `${prefix}-${ids}`;
}
