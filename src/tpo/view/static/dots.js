// Every candidate of a search as a dot: its step, and its reward.

import { MARGIN, axes, canvas, figure, linear, padded } from "./chart.js";
import { h, svg } from "./dom.js";
import { MISSING, number } from "./format.js";
import { bestOf, hasReward } from "./rank.js";

// What became of each candidate, by id.
export function fates(story) {
  const fate = new Map();
  for (const step of story.steps) {
    if (step.chosen) fate.set(step.chosen, "chosen");
    if (step.rejected && !fate.has(step.rejected)) fate.set(step.rejected, "rejected");
  }
  if (story.answer) fate.set(story.answer, "answer");
  return fate;
}

// `answerName`: what the marked answer is called, which is only the best so far while a search runs.
export function dots(story, { selected = null, onSelect = null, height = 310, answerName = "the answer" } = {}) {
  const all = story.steps.flatMap((step) => step.candidates);
  const fate = fates(story);
  const more = [["judge", (one) => number(one.judged), (one) => one.judged ?? null], ["model", (one) => one.arm ?? MISSING, (one) => one.arm ?? null]];
  const there = more.filter(([, , value]) => all.some((one) => value(one) !== null));
  const table = {
    head: ["candidate", "step", "reward", ...there.map(([name]) => name), "tokens", "what became of it"],
    rows: all.map((one) => [one.id, one.step, number(one.reward), ...there.map(([, shown]) => shown(one)), one.tokens, fate.get(one.id) ?? ""]),
  };
  const draw = (width, tall) => paint(story, all, fate, width, tall, selected?.() ?? null, onSelect);
  return figure("Reward by step", draw, { height, table, note: "each dot is an answer, the line is the best so far", foot: legend(fate, answerName) });
}

function paint(story, all, fate, width, height, selected, onSelect) {
  const scored = all.filter(hasReward);
  const node = canvas(width, height, "Reward by step", described(story, scored), onSelect ? "group" : "img");
  if (!scored.length) {
    node.append(svg("text", { class: "tick", x: width / 2, y: height / 2, "text-anchor": "middle" }, "nothing has a reward"));
    return node;
  }
  const yDomain = padded(scored.map((one) => one.reward));
  const y = linear(yDomain, [height - MARGIN.bottom, MARGIN.top]);
  const last = Math.max(...all.map((one) => one.step));
  const band = (width - MARGIN.left - MARGIN.right) / (last + 1);
  const middle = (step) => MARGIN.left + band * (step + 0.5);
  const every = Math.ceil((last + 1) / Math.floor(width / 44));
  const xTicks = Array.from({ length: last + 1 }, (_, step) => step).filter((step) => step % every === 0);
  axes(node, { width, height, y, yDomain, x: middle, xTicks, xName: "step", yName: "reward" });
  node.append(bestSoFar(scored, last, band, y));
  const group = svg("g", onSelect ? { role: "listbox", "aria-label": "Candidates" } : {});
  const radius = Math.max(2.5, Math.min(6, band / 14));
  for (const one of scored) group.append(dot(one, place(one, all, band, middle), y(one.reward), radius, fate.get(one.id)));
  if (onSelect) selectable(group, scored, selected, onSelect);
  node.append(group);
  return node;
}

// Candidates of a step stand side by side, in the order in which they were drawn.
function place(one, all, band, middle) {
  const mates = all.filter((other) => other.step === one.step);
  const share = mates.length > 1 ? mates.indexOf(one) / (mates.length - 1) - 0.5 : 0;
  return middle(one.step) + share * band * 0.62;
}

function dot(one, cx, cy, radius, fate) {
  const mark = svg("g", { class: `dot ${fate ?? ""}`, "data-id": one.id });
  if (fate) mark.append(svg("circle", { class: "ring", cx, cy, r: radius + 4 }));
  mark.append(svg("circle", { class: "core", cx, cy, r: radius }));
  mark.append(svg("title", {}, `${one.id}: reward ${number(one.reward)}${fate ? `, ${fate}` : ""}`));
  return mark;
}

function bestSoFar(scored, last, band, y) {
  let best = null;
  let path = "";
  for (let step = 0; step <= last; step += 1) {
    best = bestOf([...(best ? [best] : []), ...scored.filter((one) => one.step === step)]);
    if (best === null) continue;
    const from = MARGIN.left + band * step;
    path += `${path ? "L" : "M"}${from} ${y(best.reward)}L${from + band} ${y(best.reward)}`;
  }
  return svg("path", { class: "best", d: path });
}

// One stop for the tab key; arrow keys go from dot to dot.
function selectable(group, scored, selected, onSelect) {
  const marks = [...group.children];
  const focus = (number_) => {
    marks.forEach((mark, at) => mark.setAttribute("tabindex", at === number_ ? 0 : -1));
    marks[number_].focus();
  };
  marks.forEach((mark, at) => {
    const one = scored[at];
    mark.setAttribute("role", "option");
    mark.setAttribute("aria-label", `Candidate ${one.id}, reward ${number(one.reward)}`);
    mark.setAttribute("aria-selected", one.id === selected);
    mark.setAttribute("tabindex", one.id === selected || (!selected && at === 0) ? 0 : -1);
    mark.addEventListener("click", () => onSelect(one.id));
    mark.addEventListener("keydown", (event) => {
      const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (move) focus((at + move + marks.length) % marks.length);
      else if (event.key === "Enter" || event.key === " ") onSelect(one.id);
      else return;
      event.preventDefault();
    });
  });
}

function described(story, scored) {
  const bests = story.steps.map((step) => `step ${step.step}: best ${number(bestOf(step.candidates)?.reward)}`);
  return `${scored.length} candidates. ${bests.join(", ")}.`;
}

function legend(fate, answerName) {
  const key = (name, words) => {
    const mark = svg("g", { class: `dot ${name}` }, svg("circle", { class: "ring", cx: 9, cy: 9, r: 7.5 }));
    mark.append(svg("circle", { class: "core", cx: 9, cy: 9, r: 3.5 }));
    return h("span", {}, svg("svg", { width: 18, height: 18, "aria-hidden": "true" }, mark), words);
  };
  const kinds = [["answer", answerName], ["chosen", "chosen"], ["rejected", "rejected"]];
  const there = new Set(fate.values());
  const shown = kinds.filter(([name]) => there.has(name));
  return shown.length ? h("p", { class: "legend" }, shown.map(([name, words]) => key(name, words))) : null;
}
