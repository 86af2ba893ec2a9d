// One query's whole story: question and answer, rewards, what changed, step by step, what it cost, what was sent.

import { FATES, candidateLines, candidateView, ending, find, messagesView, sizes, verdict } from "./candidate.js";
import { armsTable, callsView, usageTable } from "./costs.js";
import { likeness, sideBySide } from "./diffview.js";
import { dots, fates } from "./dots.js";
import { folded, fresh, h } from "./dom.js";
import { count, dials, duration, ended, moment, number, oneLine, plural, signed } from "./format.js";
import { reading, readingSwitch } from "./reading.js";

// `actions`: links and buttons of the heading; `headed`: whether there is one; `settings` has the selected candidate (`at`)
// and the two that are compared (`from`, `to`), and `change` is called with new ones.
export function storyView(story, { actions = [], headed = true, settings = {}, change = () => {} } = {}) {
  const all = story.steps.flatMap((step) => step.candidates);
  const parts = headed ? [heading(story, actions)] : [h("p", { class: "actions" }, readingSwitch(), actions)];
  if (story.error) parts.push(h("p", { class: "trouble", role: "alert" }, h("strong", {}, "Failed. "), story.error));
  if (headed) parts.push(question(story));
  if (all.length) {
    parts.push(answer(story, all), figures(story, all), rewards(story, all, settings, change), changed(story, all, settings, change));
    parts.push(steps(story, all), section("Tokens and time", usageTable(story.usage), armsTable(story.arms), callsView(story.calls)));
  } else parts.push(h("p", { class: "muted" }, "No answer yet."));
  if (story.prompts.length) parts.push(prompts(story));
  return h("article", { class: "story" }, parts);
}

function heading(story, actions) {
  const state = { open: "still running", failed: "failed", ended: story.stop && ended(story.stop) }[story.state];
  const { plan } = story;
  const models = Object.entries(plan?.models ?? {});
  const others = models.filter(([role, model]) => role !== "policy" && model !== plan.models.policy);
  const facts = [
    dials(plan),
    plan?.models.policy,
    ...others.map(([role, model]) => `${role} ${model}`),
    plan?.reward && h("span", { title: plan.reward }, `reward ${plan.reward_label ?? plan.reward}`),
    plan && plan.settings.seed !== null && `seed ${plan.settings.seed}`,
    story.at && h("time", { datetime: story.at }, moment(story.at)),
    state,
  ];
  return h(
    "header",
    { class: "heading" },
    h("p", { class: "kicker" }, "Query ", h("span", { class: "mono" }, story.name)),
    h("h1", { class: "question", dir: "auto", tabindex: -1 }, oneLine(story.question, 300) || "A query"),
    h("p", { class: "facts" }, facts.filter(Boolean).map((fact) => h("span", {}, fact))),
    h("p", { class: "actions" }, readingSwitch(), actions),
  );
}

// The heading has a short question whole.
function question(story) {
  const parts = [];
  if (oneLine(story.question, 300) !== story.question) parts.push(h("div", { class: "panel" }, reading(story.question)));
  if (story.query.length > 1) parts.push(folded(plural(story.query.length, "message"), () => messagesView(story.query)));
  return parts.length ? section("Question", parts) : null;
}

function answer(story, all) {
  const one = find(all, story.answer) ?? all[0];
  return section(
    "Answer",
    h(
      "div",
      { class: "panel best" },
      h("header", {}, h("strong", { class: "mono" }, one.id), h("span", { class: "reward" }, number(one.reward)), verdict(one), ending(one), one.arm ? h("span", { class: "muted", dir: "auto" }, `by ${one.arm}`) : null, sizes(one)),
      one.text ? reading(one.text) : h("p", { class: "muted" }, "no text"),
    ),
  );
}

// Gain is measured from the first sample: what the policy answers without alignment.
function figures(story, all) {
  const [first, one] = [all[0], find(all, story.answer) ?? all[0]];
  const used = Object.values(story.usage);
  const sum = (key) => used.reduce((total, role) => total + role[key], 0);
  const scored = first.reward !== null && one.reward !== null;
  return h(
    "dl",
    { class: "figures" },
    tile("Reward", number(one.reward), scored ? `${number(first.reward)} at first` : "not scored"),
    tile("Gain", scored ? signed(one.reward - first.reward) : "–", `${likeness(first.text, one.text)} to the first`, scored && one.reward > first.reward ? "good" : ""),
    judgement(story),
    tile("Length", count(one.text.length), `characters, ${count(first.text.length)} at first`),
    tile("Answers", count(all.length), `in ${plural(story.steps.length, "step")}`),
    tile("Tokens", count(sum("prompt_tokens") + sum("completion_tokens")), `${count(sum("completion_tokens"))} generated`),
    tile("Time", duration(story.seconds), plural(sum("calls"), "call")),
  );
}

// What a judge that chose nothing makes of the answer; a fall, while the reward rose, is what to look at.
function judgement({ held_out: found, judge_label: label }) {
  if (!found) return null;
  const name = h("span", { title: found.judge }, "Held-out judge");
  const scored = found.first !== null && found.answer !== null;
  if (!scored) return tile(name, number(found.answer), found.error ?? "no score");
  return tile(name, signed(found.answer - found.first), `${number(found.first)} to ${number(found.answer)}, ${label}`, found.answer < found.first ? "bad" : found.answer > found.first ? "good" : "");
}

export function tile(name, value, note = "", look = "") {
  return h("div", { class: "tile" }, h("dt", {}, name), h("dd", { class: look }, value), h("dd", { class: "muted" }, note));
}

function rewards(story, all, settings, change) {
  if (all.every((one) => one.reward === null || one.reward === undefined)) return null;
  const fate = fates(story);
  let at = find(all, settings.at)?.id ?? story.answer ?? all[0].id;
  const panel = h("section", { class: "panel", "aria-live": "polite", "aria-label": "The selected candidate" }, candidateView(find(all, at), fate));
  const wrapper = h("div", {});
  const select = (id) => {
    at = id;
    panel.replaceChildren(candidateView(find(all, id), fate));
    for (const mark of wrapper.querySelectorAll(".dot[data-id]")) {
      mark.classList.toggle("selected", mark.dataset.id === id);
      mark.setAttribute("aria-selected", mark.dataset.id === id);
    }
    change({ at: id === story.answer ? null : id });
  };
  wrapper.append(dots(story, { selected: () => at, onSelect: select }));
  return section("Rewards", h("div", { class: "split" }, wrapper, panel));
}

// Any two candidates against each other; the first sample and the answer to begin with.
function changed(story, all, settings, change) {
  if (all.length < 2) return null;
  const fate = fates(story);
  const label = (one) => `${one.id} · ${number(one.reward)}${fate.has(one.id) ? ` · ${FATES[fate.get(one.id)]}` : ""}`;
  const usual = { from: all[0].id, to: story.answer ?? all.at(-1).id };
  const choice = (name, key) => {
    const id = fresh("choice");
    const chosen = find(all, settings[key])?.id ?? usual[key];
    const options = all.map((one) => h("option", { value: one.id, selected: one.id === chosen }, label(one)));
    const select = h("select", { id, on: { change: () => picked() } }, options);
    return [select, h("label", { for: id }, name, " ", select)];
  };
  const [one, oneLabel] = choice("From", "from");
  const [other, otherLabel] = choice("to", "to");
  const box = h("div", {});
  const show = () => {
    const [before, after] = [find(all, one.value), find(all, other.value)];
    box.replaceChildren(
      before.id === after.id
        ? h("p", { class: "muted" }, before.id === story.answer && before.id === usual.from ? "The first sample is the answer: no later one was better." : "This is the same candidate.")
        : sideBySide(side_(before, before.id === all[0].id ? "first sample" : ""), side_(after, FATES[fate.get(after.id)] ?? "")),
    );
  };
  const picked = () => {
    show();
    change({ from: one.value === usual.from ? null : one.value, to: other.value === usual.to ? null : other.value });
  };
  show();
  return section("What changed", h("p", { class: "controls" }, oneLabel, otherLabel), box);
}

function side_(one, what) {
  return { label: [one.id, what].filter(Boolean).join(", "), text: one.text, note: `reward ${number(one.reward)}` };
}

function steps(story, all) {
  const fate = fates(story);
  const shown = story.steps.map((step) => {
    const [chosen, rejected] = [find(all, step.chosen), find(all, step.rejected)];
    const bodies = [];
    if (chosen && rejected) {
      const contrast = () => sideBySide(side_(rejected, "rejected"), side_(chosen, "chosen"));
      bodies.push(folded(`${chosen.id} was chosen over ${rejected.id}`, contrast, { open: story.steps.length < 4 }));
    } else if (chosen) bodies.push(h("p", { class: "muted" }, `Starts from ${chosen.id} alone.`));
    if (step.loss || step.gradient) {
      bodies.push(h("div", { class: "pair words" }, criticism("Critique", "textual loss", step.loss), criticism("Advice", "textual gradient", step.gradient)));
    }
    if (step.candidates.length) bodies.push(candidateLines(step.candidates, fate));
    return h("li", {}, h("h3", {}, step.step === 0 ? "First samples" : `Step ${step.step}`), bodies);
  });
  return section("Step by step", h("ol", { class: "steps", start: 0 }, shown));
}

export function criticism(name, term, text) {
  const words = text ? reading(text) : h("p", { class: "muted" }, "none");
  return h("blockquote", { class: "criticism" }, h("header", {}, h("strong", {}, name), h("span", { class: "muted" }, term)), words);
}

function prompts(story) {
  const shown = story.prompts.map((prompt) =>
    folded(
      `Step ${prompt.step}: ${prompt.name.replaceAll("_", " ")}, to the ${prompt.role}${prompt.width ? `, ${plural(prompt.width, "answer")}` : ""}`,
      () => messagesView(prompt.messages),
    ),
  );
  return section("Prompts as they were sent", shown);
}

function section(title, ...parts) {
  const id = fresh("section");
  return h("section", { "aria-labelledby": id }, h("h2", { id }, title), parts);
}
