// The playground: a question with its settings, answered by one method or by two side by side.

import { ask, download, events } from "./api.js";
import { find } from "./candidate.js";
import { sideBySide } from "./diffview.js";
import { fresh, h } from "./dom.js";
import { ended, number } from "./format.js";
import { go } from "./route.js";
import { storyView } from "./story.js";
import { Watching } from "./watching.js";

// N and D for those who do not want to choose them.
const EFFORTS = { low: [3, 1], medium: [5, 2], high: [10, 4] };
// Settings that are numbers, with their labels and least values.
const NUMBERS = [["temperature", "Temperature", 0, "any"], ["seed", "Seed", 0, 1], ["max_tokens", "Tokens per answer", 1, 1], ["critic_max_tokens", "Tokens per critique", 1, 1], ["budget_tokens", "Tokens in all", 1, 1]];
const PLAYED = ["result", "second_result"];

export async function playRoom(settings, room) {
  const { play } = await ask("about");
  if (!play) return h("div", {}, h("h1", { tabindex: -1 }, "Playground"), h("p", { class: "muted" }, "This page has no playground."));
  const stages = h("div", {});
  const form = formOf(play, settings, (options, rivals, controls) => answer(stages, room, options, rivals, controls));
  const results = await Promise.all(PLAYED.map((key) => settings[key] && kept(settings[key])));
  if (results.some(Boolean)) showResults(stages, results.filter(Boolean), room);
  room.onChange([...new Set([...PLAYED, ...Object.keys(settings), "question", "method", "second", "width", "depth", "reward", "require", ...NUMBERS.map(([name]) => name)])], () => {});
  return h("div", {}, h("header", { class: "heading" }, h("h1", { tabindex: -1 }, "Playground"), h("p", { class: "facts" }, play.about)), form, stages);
}

async function kept(id) {
  try {
    return { id, story: await ask("play/result", { id }) };
  } catch (error) {
    if (error.status !== 404) throw error;
    return null; // the question is still in the form
  }
}

function formOf(play, settings, begin) {
  const ids = new Map();
  const labelled = (name, words, field) => {
    ids.set(name, fresh("field"));
    field.id = ids.get(name);
    return h("label", { for: field.id }, `${words} `, field);
  };
  const question = h("textarea", { rows: 3, required: true, dir: "auto", placeholder: "Write a question" });
  question.value = settings.question ?? "";
  const options = (chosen, more = []) => [...more, ...play.methods.map((one) => [one.name, one.name])].map(([value, words]) => h("option", { value, selected: value === chosen }, words));
  const method = h("select", { on: { change: () => dialsOf() } }, options(settings.method ?? play.method));
  const second = h("select", { on: { change: () => dialsOf() } }, options(settings.second ?? "", [["", "no other"]]));
  const dial = (name, low) => h("input", { type: "number", min: low, max: play[`most_${name}`], value: settings[name] ?? play[name], required: true });
  const [width, depth] = [dial("width", 1), dial("depth", 0)];
  const effort = h("select", { on: { change: () => {
    const [wide, deep] = EFFORTS[effort.value] ?? [play.width, play.depth];
    width.value = Math.min(wide, play.most_width);
    depth.value = Math.min(deep, play.most_depth);
  } } }, [["", "usual"], ...Object.keys(EFFORTS).map((name) => [name, name])].map(([value, words]) => h("option", { value }, words)));
  const more = NUMBERS.map(([name, words, min, step]) => [name, words, h("input", { type: "number", min, step, value: settings[name] })]);
  const reward = h("input", { type: "text", value: settings.reward, placeholder: "a name in the configuration" });
  const require = h("input", { type: "text", value: settings.require, placeholder: "max-words=60; json" });
  const dialsOf = () => {
    const chosen = [method.value, second.value].map((name) => play.methods.find((one) => one.name === name));
    width.disabled = !chosen.some((one) => one?.has_width);
    depth.disabled = !chosen.some((one) => one?.has_depth);
  };
  dialsOf();
  const button = h("button", { type: "submit", class: "primary" }, "Answer");
  const stop = h("button", { type: "button", hidden: true }, "Stop");
  const submit = async (event) => {
    event.preventDefault();
    const given = { question: question.value, width: Number(width.value), depth: Number(depth.value) };
    for (const [name, , field] of more) if (field.value !== "") given[name] = Number(field.value);
    if (reward.value.trim()) given.reward = reward.value.trim();
    const rules = require.value.split(";").map((rule) => rule.trim()).filter(Boolean);
    if (rules.length) given.require = rules;
    const rivals = second.value && second.value !== method.value ? [method.value, second.value] : [method.value];
    await begin(given, rivals, { button, stop });
  };
  const form = h(
    "form",
    { class: "play", on: { submit } },
    labelled("question", "Question", question),
    h("p", { class: "controls" }, labelled("method", "Method", method), labelled("second", "and beside it", second), labelled("effort", "Effort", effort), labelled("width", "N, answers a step", width), labelled("depth", "D, steps", depth)),
    h("details", { open: more.some(([name]) => settings[name] !== undefined) || settings.reward !== undefined || settings.require !== undefined }, h("summary", {}, "More settings"), h("p", { class: "controls" }, more.map(([name, words, field]) => labelled(name, words, field)), labelled("reward", "Reward", reward), labelled("require", "Rules", require))),
    h("p", { class: "controls" }, button, stop),
  );
  question.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  return form;
}

async function answer(stages, room, options, rivals, { button, stop }) {
  const aborting = new AbortController();
  room.onLeave(() => aborting.abort());
  stop.onclick = () => aborting.abort();
  button.disabled = true;
  stop.hidden = false;
  const [method, second] = rivals;
  const asked = { ...options, require: options.require?.join("; "), method, second };
  go("play", asked, { replace: true });
  const watched = rivals.map((name) => new Watching(rivals.length > 1 ? name : null));
  stages.replaceChildren(h("div", { class: watched.length > 1 ? "split even" : "" }, watched.map((one) => one.node)));
  try {
    await Promise.all(watched.map((one, at) => watch(one, { ...options, method: rivals[at] }, aborting.signal)));
    const results = watched.map((one) => one.story && { id: one.story.result, story: one.story });
    if (room.left || !results.every(Boolean)) return;
    go("play", { ...asked, result: results[0].id, second_result: results[1]?.id }, { replace: true });
    showResults(stages, results, room);
  } finally {
    button.disabled = false;
    stop.hidden = true;
  }
}

async function watch(watching, options, signal) {
  try {
    for await (const message of events("play", options, signal)) {
      if (message.name === "events") watching.take(message.data);
      else if (message.name === "story") watching.finish(message.data);
      else watching.fail(message.data.error);
    }
    watching.over();
  } catch (error) {
    if (error.name === "AbortError") watching.stopped();
    else watching.fail(error.message);
  }
}

function showResults(stages, results, room) {
  const answerOf = (story) => find(story.steps.flatMap((step) => step.candidates), story.answer);
  const done = ({ story }) => {
    const answer = `${story.answer}, reward ${number(answerOf(story)?.reward)}`;
    const how = story.error ? `broke off, the best answer so far is ${answer}` : `the answer is ${answer}, ${ended(story.stop)}`;
    return `${story.plan?.method ?? ""}: ${how}`;
  };
  const begin = results.some(({ story }) => story.error) ? "" : "Done. ";
  const parts = [h("p", { role: "status", class: "status" }, begin + results.map(done).join(". "))];
  if (results.length > 1) {
    const side = ({ story }) => ({ label: story.plan?.method ?? "", text: answerOf(story)?.text ?? "", note: `reward ${number(answerOf(story)?.reward)}` });
    parts.push(h("section", { "aria-label": "Both answers" }, h("h2", {}, "Both answers"), sideBySide(side(results[0]), side(results[1]))));
  }
  for (const { id, story } of results) {
    const save = h("button", { type: "button", on: { click: () => room.attempt(() => download("play/result", { id, form: "trace" }, "trace.jsonl")) } }, "Save as trace");
    const view = storyView(story, { headed: false, actions: [save] });
    parts.push(results.length > 1 ? h("details", { open: Boolean(story.error) }, h("summary", {}, `The search of ${story.plan?.method}`), view) : view);
  }
  stages.replaceChildren(...parts);
}
