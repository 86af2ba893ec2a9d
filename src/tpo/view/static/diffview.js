// Two texts side by side, with the words that only one of them has.

import { difference } from "./diff.js";
import { h } from "./dom.js";
import { percent } from "./format.js";

// `one` and `other`: { label, text, note }. Colours are not alone: words are also underlined or struck through, and a
// screen reader is told.
export function sideBySide(one, other, { kinds = ["gone", "new"] } = {}) {
  const runs = difference(one.text ?? "", other.text ?? "");
  return h("div", { class: "pair" }, column(one, runs, "gone", kinds[0]), column(other, runs, "new", kinds[1]));
}

function column(side, runs, kind, look) {
  const body = h("div", { class: "prose", dir: "auto" });
  for (const [what, text] of runs) {
    if (what === "same") body.append(text);
    else if (what === kind) body.append(h(kind === "gone" ? "del" : "ins", { class: look }, text));
  }
  if (!side.text) body.append(h("em", { class: "muted" }, "no text"));
  return h(
    "div",
    { class: "side", role: "group", "aria-label": side.label },
    h("header", {}, h("strong", { class: look }, side.label), h("span", { class: "muted" }, side.note ?? "")),
    body,
  );
}

// Which share of the words of the longer text both have.
export function likeness(one, other) {
  const runs = difference(one ?? "", other ?? "");
  const size = (kind) => runs.filter(([what]) => what === kind).reduce((sum, [, text]) => sum + text.length, 0);
  const [same, gone, added] = [size("same"), size("gone"), size("new")];
  const longer = same + Math.max(gone, added);
  return longer ? `${percent(same / longer)} alike` : "";
}
