// One query's whole story: its rewards, what changed, what the critic said, what it cost, and what was really sent.

import { sideBySide, likeness } from "./diffview.js";
import { dots, fates } from "./dots.js";
import { folded, fresh, h, prose } from "./dom.js";
import { count, dials, duration, moment, number, oneLine, plural, signed } from "./format.js";
import { timeline } from "./timeline.js";

const FATES = { answer: "the answer", chosen: "chosen", rejected: "rejected" };

// `actions`: links and buttons that go with the heading; `headed`: whether it has one, which somebody who has just typed
// the question needs no more.
export function storyView(story, actions = [], { headed = true } = {}) {
  const all = story.steps.flatMap((step) => step.candidates);
  const parts = headed ? [heading(story, actions)] : [];
  if (story.query.length > 1) parts.push(folded(plural(story.query.length, "message"), () => messages(story.query)));
  if (story.error) parts.push(h("p", { class: "trouble", role: "alert" }, h("strong", {}, "Failed. "), story.error));
  if (!all.length) parts.push(h("p", { class: "muted" }, "No answer has landed."));
  else parts.push(figures(story, all), rewards(story, all), change(story, all), ...steps(story), costs(story));
  if (story.prompts.length) parts.push(prompts(story));
  return h("article", { class: "story" }, parts);
}

function heading(story, actions) {
  const state = { open: "not over yet", failed: "failed", ended: story.stop && `ended: ${story.stop}` }[story.state];
  const models = Object.entries(story.plan?.models ?? {});
  const others = models.filter(([role, model]) => role !== "policy" && model !== story.plan.models.policy);
  const facts = [
    dials(story.plan),
    story.plan?.models.policy,
    ...others.map(([role, model]) => `${role} ${model}`),
    story.plan?.reward && `reward ${story.plan.reward}`,
    story.plan?.settings.seed !== null && story.plan && `seed ${story.plan.settings.seed}`,
    moment(story.at),
    state,
  ];
  return h(
    "header",
    { class: "heading" },
    h("p", { class: "kicker" }, "Query ", h("span", { class: "mono" }, story.name)),
    // A long question is folded by its style, and whole in the prompts.
    h("h1", { class: "question", dir: "auto", tabindex: -1 }, oneLine(story.question, 600) || "A query"),
    h("p", { class: "facts" }, facts.filter(Boolean).map((fact) => h("span", {}, fact))),
    actions.length ? h("p", { class: "actions" }, actions) : null,
  );
}

// The level that alignment is measured against is the first sample: what the policy says by itself.
function figures(story, all) {
  const [first, answer] = [all[0], find(all, story.answer) ?? all[0]];
  const used = Object.values(story.usage);
  const sum = (key) => used.reduce((total, one) => total + one[key], 0);
  const scored = first.reward !== null && answer.reward !== null;
  return h(
    "dl",
    { class: "figures" },
    tile("Reward", number(answer.reward), scored ? `${number(first.reward)} at first` : "not scored"),
    tile("Gain", scored ? signed(answer.reward - first.reward) : "–", likeness(first.text, answer.text) + " to the first", scored && answer.reward > first.reward ? "good" : ""),
    tile("Length", count(answer.text.length), `characters, ${count(first.text.length)} at first`),
    tile("Answers", count(all.length), `in ${plural(story.steps.length, "step")}`),
    tile("Tokens", count(sum("prompt_tokens") + sum("completion_tokens")), `${count(sum("completion_tokens"))} generated`),
    tile("Time", duration(story.seconds), plural(sum("calls"), "call")),
  );
}

export function tile(name, value, note = "", look = "") {
  return h("div", { class: "tile" }, h("dt", {}, name), h("dd", { class: look }, value), h("dd", { class: "muted" }, note));
}

function rewards(story, all) {
  const panel = h("section", { class: "panel", "aria-live": "polite", "aria-label": "The selected candidate" });
  const fate = fates(story);
  const wrapper = h("div", {});
  let at = story.answer ?? all[0].id;
  const select = (id) => {
    at = id;
    panel.replaceChildren(candidate(find(all, id), fate));
    for (const mark of wrapper.querySelectorAll(".dot[data-id]")) {
      mark.classList.toggle("selected", mark.dataset.id === id);
      mark.setAttribute("aria-selected", mark.dataset.id === id);
    }
  };
  panel.append(candidate(find(all, at), fate));
  if (all.every((one) => one.reward === null || one.reward === undefined)) return section("The answer", panel);
  wrapper.append(dots(story, { selected: at, onSelect: select }));
  return section("Rewards", h("div", { class: "split" }, wrapper, panel));
}

function candidate(one, fate) {
  const parts = Object.entries(one.parts ?? {});
  return h(
    "div",
    {},
    h(
      "header",
      {},
      h("strong", { class: "mono" }, one.id),
      h("span", { class: "reward" }, number(one.reward)),
      fate.has(one.id) ? h("span", { class: `badge ${fate.get(one.id)}` }, FATES[fate.get(one.id)]) : null,
      h("span", { class: "muted" }, `${one.finish_reason} · ${plural(one.tokens, "token")} · ${count(one.text.length)} characters`),
    ),
    parts.length ? h("dl", { class: "parts" }, parts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, number(value))])) : null,
    one.feedback ? h("p", { class: "muted", dir: "auto" }, one.feedback) : null,
    one.error ? h("p", { class: "trouble" }, one.error) : null,
    one.text ? prose(one.text, { class: "answer", tabindex: 0 }) : h("p", { class: "muted" }, "no text"),
    one.reasoning ? folded("What it thought", () => prose(one.reasoning)) : null,
    one.reply ? folded("What it really wrote", () => prose(one.reply)) : null,
  );
}

// Any two candidates against each other; the first sample and the answer to begin with.
function change(story, all) {
  if (all.length < 2) return null;
  const fate = fates(story);
  const label = (one) => `${one.id} · ${number(one.reward)}${fate.has(one.id) ? ` · ${FATES[fate.get(one.id)]}` : ""}`;
  const choice = (name, chosen) => {
    const id = fresh("choice");
    const options = all.map((one) => h("option", { value: one.id, selected: one.id === chosen }, label(one)));
    const select = h("select", { id, on: { change: () => show() } }, options);
    return [select, h("label", { for: id }, name, " ", select)];
  };
  const [one, oneLabel] = choice("From", all[0].id);
  const [other, otherLabel] = choice("to", story.answer ?? all.at(-1).id);
  const box = h("div", { "aria-live": "off" });
  const show = () => {
    const [before, after] = [find(all, one.value), find(all, other.value)];
    box.replaceChildren(
      before.id === after.id
        ? h("p", { class: "muted" }, "The first sample is the answer: nothing that came later was better.")
        : sideBySide(side(before, before.id === all[0].id ? "first sample" : ""), side(after, FATES[fate.get(after.id)] ?? "")),
    );
  };
  show();
  return section("What changed", h("p", { class: "controls" }, oneLabel, otherLabel), box);
}

function side(one, what) {
  return { label: [one.id, what].filter(Boolean).join(", "), text: one.text, note: `reward ${number(one.reward)}` };
}

function steps(story) {
  const all = story.steps.flatMap((step) => step.candidates);
  const fate = fates(story);
  const shown = story.steps.map((step) => {
    const [chosen, rejected] = [find(all, step.chosen), find(all, step.rejected)];
    const bodies = [];
    if (chosen && rejected) {
      const contrast = () => sideBySide(side(rejected, "rejected"), side(chosen, "chosen"));
      bodies.push(folded(`${chosen.id} was chosen over ${rejected.id}`, contrast, { open: story.steps.length < 4 }));
    } else if (chosen) bodies.push(h("p", { class: "muted" }, `Sets out from ${chosen.id} alone.`));
    if (step.loss || step.gradient) {
      bodies.push(h("div", { class: "pair words" }, said("Critique", "textual loss", step.loss), said("Advice", "textual gradient", step.gradient)));
    }
    if (step.candidates.length) bodies.push(answers(step, fate));
    return h("li", {}, h("h3", {}, step.step === 0 ? "First samples" : `Step ${step.step}`), bodies);
  });
  return [section("Step by step", h("ol", { class: "steps", start: 0 }, shown))];
}

function said(name, term, text) {
  return h("blockquote", { class: "said" }, h("header", {}, h("strong", {}, name), h("span", { class: "muted" }, term)), text ? prose(text) : h("p", { class: "muted" }, "none"));
}

function answers(step, fate) {
  const best = [...step.candidates].sort((one, other) => (other.reward ?? -Infinity) - (one.reward ?? -Infinity));
  return h(
    "div",
    { class: "answers" },
    best.map((one) =>
      folded(
        h(
          "span",
          { class: "row" },
          h("span", { class: "mono" }, one.id),
          h("span", { class: "reward" }, number(one.reward)),
          h("span", { class: "first", dir: "auto" }, one.error ?? oneLine(one.text)),
          fate.has(one.id) ? h("span", { class: `badge ${fate.get(one.id)}` }, FATES[fate.get(one.id)]) : null,
        ),
        () => candidate(one, fate),
      ),
    ),
  );
}

function costs(story) {
  const head = ["role", "calls", "retries", "prompt tokens", "cached", "completion tokens", "seconds", "waited"];
  const rows = Object.entries(story.usage).map(([role, used]) => [
    h("th", { scope: "row" }, h("span", { class: `role ${role}` }), role),
    [used.calls, used.retries, used.prompt_tokens, used.cached_tokens, used.completion_tokens].map((n) => h("td", {}, count(n))),
    [used.seconds, used.waited].map((seconds) => h("td", {}, seconds.toFixed(1))),
  ]);
  const failed = story.calls.filter((call) => call.error);
  return section(
    "Tokens and time",
    h(
      "div",
      { class: "scroll" },
      h(
        "table",
        { class: "numbers" },
        h("caption", { class: "hidden" }, "What each role cost"),
        h("thead", {}, h("tr", {}, head.map((cell) => h("th", { scope: "col" }, cell)))),
        h("tbody", {}, rows.map((row) => h("tr", {}, row))),
      ),
    ),
    story.calls.length ? timeline(story.calls) : null,
    failed.length
      ? folded(plural(failed.length, "call that failed or was cut short", "calls that failed or were cut short"), () =>
          h("ul", {}, failed.map((call) => h("li", {}, `${call.role}, after ${number(call.began, 1)} s: ${call.error}`))))
      : null,
  );
}

function prompts(story) {
  const shown = story.prompts.map((prompt) =>
    folded(
      `Step ${prompt.step}: ${prompt.name.replaceAll("_", " ")}, to the ${prompt.role}${prompt.width ? `, ${plural(prompt.width, "answer")}` : ""}`,
      () => messages(prompt.messages),
    ),
  );
  return section("Prompts as they were sent", shown);
}

function messages(list) {
  return h("div", { class: "messages" }, list.map((one) => h("div", { class: `message ${one.role}` }, h("header", {}, one.role), prose(one.text))));
}

function section(title, ...parts) {
  const id = fresh("section");
  return h("section", { "aria-labelledby": id }, h("h2", { id }, title), parts);
}

function find(all, id) {
  return id === null || id === undefined ? null : (all.find((one) => one.id === id) ?? null);
}
