// Formulas: Temml parses TeX, and what it makes of it becomes MathML nodes here, from a list of what is let through.

import { h } from "./dom.js";

const MATHML = "http://www.w3.org/1998/Math/MathML";
const ELEMENTS = new Set(
  "math mrow mi mn mo ms mtext mspace mfrac msqrt mroot mstyle merror mpadded mphantom msub msup msubsup munder mover munderover mmultiscripts mprescripts mtable mtr mtd menclose none".split(" "),
);
const ATTRIBUTES = new Set(
  ("display displaystyle scriptlevel mathvariant stretchy fence form separator lspace rspace minsize maxsize symmetric largeop movablelimits accent accentunder linethickness " +
    "columnalign rowspacing columnspacing columnlines rowlines width height depth voffset notation mathcolor mathbackground").split(" "),
);
const STYLES = new Set(["color", "backgroundColor", "border", "borderTop", "borderBottom", "borderLeft", "borderRight", "padding", "paddingLeft", "paddingRight", "width", "textAlign", "fontWeight", "fontStyle", "mathDepth"]);
const LONGEST_FORMULA = 5000;

let library = null;
let coming = null;

// A file that stands alone brings the library along.
export function useMaths(given) {
  library = given;
}

function load() {
  coming ??= import("./vendor/temml.js").then((found) => useMaths(found.default));
  return coming;
}

// A formula; its TeX is shown until the library is there, and where it cannot be read.
export function formula(tex, display) {
  const node = display
    ? h("div", { class: "formula block", tabindex: 0, role: "group", "aria-label": "Formula" }, h("code", {}, tex))
    : h("span", { class: "formula" }, h("code", {}, tex));
  if (tex.length > LONGEST_FORMULA) return node;
  const show = () => {
    const tree = parsed(tex, display);
    if (tree) node.replaceChildren(...built(tree));
  };
  if (library) show();
  else load().then(show, () => {});
  return node;
}

function parsed(tex, display) {
  try {
    return library.__renderToMathMLTree(tex, { displayMode: display, throwOnError: true, trust: false, maxExpand: 500, maxSize: [20, 20] });
  } catch {
    return null;
  }
}

function built(node) {
  if (node.text !== undefined) return [document.createTextNode(node.text)];
  const children = (node.children ?? []).flatMap(built);
  if (!ELEMENTS.has(node.type)) return children;
  const made = document.createElementNS(MATHML, node.type);
  for (const [name, value] of Object.entries(node.attributes ?? {})) if (ATTRIBUTES.has(name)) made.setAttribute(name, value);
  for (const [name, value] of Object.entries(node.style ?? {})) if (STYLES.has(name)) made.style[name] = value;
  const classes = (node.classes ?? []).filter((name) => /^(tml-|mathcal$|mathscr$|chr-|wbk-|upstrike$|ff-)/.test(name));
  if (classes.length) made.setAttribute("class", classes.join(" "));
  made.append(...children);
  return [made];
}
