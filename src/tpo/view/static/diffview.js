// Two texts side by side: what changed is marked, what did not is folded, and both sides scroll together.

import { difference } from "./diff.js";
import { h } from "./dom.js";
import { count, percent, plural } from "./format.js";
import { reading } from "./reading.js";

// Below this share of common text, marks would be noise: both texts are shown as they are.
const REWRITTEN = 0.2;
// Strokes through words are readable only where few words are struck.
const FEW = { share: 0.5, changes: 30 };
// Unchanged text that stays on each side of a change, and the least that is worth folding.
const AROUND = 120;
const WORTH = 240;

// `one` and `other`: { label, text, note }. Colours are not alone: words are also underlined or struck through.
export function sideBySide(one, other) {
  const runs = difference(one.text ?? "", other.text ?? "");
  const share = common(runs);
  if (one.text && other.text && share < REWRITTEN) return rewritten(one, other, share);
  const pieces = piecesOf(runs);
  const changes = pieces.reduce((most, piece) => Math.max(most, piece.change ?? 0), 0);
  const few = share >= FEW.share && changes <= FEW.changes;
  const sides = [side(one, pieces, "gone"), side(other, pieces, "new")];
  const bodies = sides.map((node) => node.querySelector(".prose"));
  unfoldable(bodies);
  together(bodies);
  return h(
    "div",
    { class: `difference ${few ? "few" : ""}` },
    h("p", { class: "controls changes" }, h("span", { class: "muted" }, changes ? plural(changes, "change") : "No difference."), changes > 1 ? walker(bodies, changes) : null),
    h("div", { class: "pair" }, sides),
  );
}

function rewritten(one, other, share) {
  const whole = (text) => h("div", { class: "side", role: "group", "aria-label": text.label }, head(text), reading(text.text));
  return h(
    "div",
    { class: "difference" },
    h("p", { class: "controls changes" }, h("strong", {}, "Rewritten"), h("span", { class: "muted" }, `${percent(share)} in common`)),
    h("div", { class: "pair" }, whole(one), whole(other)),
  );
}

// Runs with the number of their change; a run that is gone and the new one in its place are one change.
function piecesOf(runs) {
  let change = 0;
  return runs.map(([kind, text], at) => {
    if (kind === "same") return { kind, text, first: at === 0, last: at === runs.length - 1 };
    if (at === 0 || runs[at - 1][0] === "same") change += 1;
    return { kind, text, change };
  });
}

function head({ label, note }, look = "") {
  return h("header", {}, h("strong", { class: look }, label), h("span", { class: "muted" }, note ?? ""));
}

function side(text, pieces, kind) {
  const body = h("div", { class: "prose", dir: "auto", tabindex: 0, role: "group", "aria-label": `Text of ${text.label}` });
  let placed = 0;
  pieces.forEach((piece, at) => {
    if (piece.kind === "same") body.append(...unchanged(piece, at));
    else if (piece.kind === kind) {
      body.append(h(kind === "gone" ? "del" : "ins", { class: kind, "data-change": piece.change }, piece.text));
      placed = piece.change;
    } else if (placed !== piece.change && !pieces.some((mate) => mate.change === piece.change && mate.kind === kind)) {
      // Where the other side has more, a mark to scroll to.
      body.append(h("span", { class: "gap", "data-change": piece.change }));
      placed = piece.change;
    }
  });
  if (!text.text) body.append(h("em", { class: "muted" }, "no text"));
  return h("div", { class: "side", role: "group", "aria-label": text.label }, head(text, kind), body);
}

function unchanged({ text, first, last }, at) {
  if (first && last) return [h("span", {}, text)];
  const before = first ? 0 : boundary(text, AROUND, 1);
  const after = last ? text.length : boundary(text, text.length - AROUND, -1);
  if (after - before < WORTH) return [h("span", {}, text)];
  const hidden = text.slice(before, after);
  const button = h("button", { type: "button", class: "unchanged", "data-fold": at }, `${count(hidden.length)} unchanged characters`);
  button.hiddenText = hidden;
  return [h("span", {}, text.slice(0, before)), button, h("span", {}, text.slice(after))];
}

// The nearest space, so that no word is cut.
function boundary(text, at, step) {
  let place = Math.max(0, Math.min(text.length, at));
  while (place > 0 && place < text.length && !/\s/.test(text[place])) place += step;
  return place;
}

function unfoldable(bodies) {
  for (const body of bodies) {
    body.addEventListener("click", (event) => {
      const fold = event.target.closest?.("[data-fold]")?.dataset.fold;
      if (fold === undefined) return;
      for (const one of bodies) {
        const button = one.querySelector(`[data-fold="${fold}"]`);
        button?.replaceWith(h("span", {}, button.hiddenText));
      }
      body.focus({ preventScroll: true });
    });
  }
}

// Scrolling one side moves the other by the same share of its length.
function together(bodies) {
  let leader = null;
  bodies.forEach((body, at) => {
    body.addEventListener("scroll", () => {
      if (leader !== null && leader !== body) return;
      leader = body;
      const other = bodies[1 - at];
      const room = body.scrollHeight - body.clientHeight;
      if (room > 0) other.scrollTop = (body.scrollTop / room) * (other.scrollHeight - other.clientHeight);
      requestAnimationFrame(() => requestAnimationFrame(() => (leader = null)));
    });
  });
}

function walker(bodies, changes) {
  let at = 0;
  const place = h("span", { class: "muted", role: "status" });
  const walk = (step) => () => {
    at = ((at + step - 1 + changes) % changes) + 1;
    place.textContent = `${at} of ${changes}`;
    for (const body of bodies) {
      for (const mark of body.querySelectorAll(".current")) mark.classList.remove("current");
      const marks = [...body.querySelectorAll(`[data-change="${at}"]`)];
      for (const mark of marks) mark.classList.add("current");
      if (marks.length) body.scrollTop += marks[0].getBoundingClientRect().top - body.getBoundingClientRect().top - body.clientHeight / 3;
    }
  };
  const button = (words, label, step) => h("button", { type: "button", "aria-label": label, on: { click: walk(step) } }, words);
  // From nothing, "previous" goes to the last one.
  return [button("↑", "Previous change", -1), button("↓", "Next change", 1), place];
}

// Which share of the longer text both have.
function common(runs) {
  const size = (kind) => runs.filter(([what]) => what === kind).reduce((sum, [, text]) => sum + text.length, 0);
  const [same, gone, added] = [size("same"), size("gone"), size("new")];
  const longer = same + Math.max(gone, added);
  return longer ? same / longer : 1;
}

export function likeness(one, other) {
  return one || other ? `${percent(common(difference(one ?? "", other ?? "")))} alike` : "";
}
