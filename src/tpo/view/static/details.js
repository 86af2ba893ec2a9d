// All that is known of a run besides its queries: what it did, with which settings, at what cost, and all its answers.

import { ask } from "./api.js";
import { usageTable } from "./costs.js";
import { folded, h } from "./dom.js";
import { count, duration, moment, number, percent, plural } from "./format.js";
import { numbersTable } from "./numbers.js";

export function detailsView(run, room) {
  return h(
    "section",
    { class: "details", "aria-label": "Details" },
    folded("Settings, models and versions", () => settingsView(run)),
    folded("Tokens, cost and time by role", () => costsView(run.summary)),
    folded("All answers: cut off, scored, lengths, rules", () => answersView(run, room)),
  );
}

function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", { class: "parts" }, shown.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

function settingsView(run) {
  const { asked, recipe, endpoints, version, began, data, reward_label: label, judge_label: judge } = run;
  const { settings = {}, budget = {} } = recipe;
  const model = ([role, name]) => [role, `${name}${endpoints[role]?.length ? ` at ${endpoints[role].join(", ")}` : ""}`];
  return h(
    "div",
    {},
    facts([
      ["data", data], ["method", recipe.method], ["width N", recipe.width], ["depth D", recipe.depth],
      ...Object.entries(recipe.models ?? {}).map(model),
      ["reward", label], ["reward in full", recipe.reward], ["reward at", endpoints.reward?.join(", ")], ["rules", asked.require?.join(", ")],
      ["held-out judge", judge], ["judge in full", recipe.judge], ["judge at", endpoints.judge?.join(", ")],
      ["prompts", recipe.prompts],
      ...Object.entries(settings).filter(([, value]) => value === null || typeof value !== "object").map(([name, value]) => [name.replaceAll("_", " "), value]),
      ...Object.entries(settings.extra ?? {}).map(([name, value]) => [name, JSON.stringify(value)]),
      ["token budget", budget?.tokens], ["seconds budget", budget?.seconds],
      ["tpo", version], ["begun", moment(began)],
    ]),
    h("p", { class: "muted" }, "The same run from a terminal:"),
    h("pre", { class: "command", tabindex: 0, role: "group", "aria-label": "Command" }, h("code", {}, commandOf(run))),
  );
}

// What makes such a run, as far as a run knows: keys and code are not written down.
function commandOf({ recipe, endpoints, data, asked }) {
  const quoted = (value) => (/^[\w./:@=,+-]+$/.test(value) ? value : `'${String(value).replaceAll("'", String.raw`'\''`)}'`);
  const parts = ["tpo run", quoted(data), "--out DIR"];
  const flag = (name, value) => value !== null && value !== undefined && parts.push(`--${name} ${quoted(String(value))}`);
  for (const role of ["policy", "critic", "editor"]) {
    const [address, name] = [endpoints[role]?.[0], recipe.models?.[role]];
    if (role !== "policy" && address === endpoints.policy?.[0] && name === recipe.models?.policy) continue;
    const panel = typeof asked[role]?.[0] === "object" ? Object.keys(asked[role][0] ?? {}) : [];
    if (panel.length && panel.length === endpoints[role]?.length) {
      panel.forEach((arm, at) => flag(role, `${arm}=${endpoints[role][at]}`));
      continue;
    }
    flag(role, address);
    flag(`${role}-model`, address && name);
  }
  for (const rule of asked.require ?? []) flag("require", rule);
  // A run's directory has rewards without hosts and keys.
  for (const measure of ["reward", "judge"]) flag(measure, asked[measure]?.replace(/\b(api_)?key=[^,;&]*[,;&]?/g, "").replace(/https?:\/\/(?=\/|$)/, endpoints[measure]?.[0] ?? "$&"));
  flag("method", recipe.method);
  if (recipe.method !== "sample") flag("width", recipe.width);
  if (!["sample", "best-of-n"].includes(recipe.method)) flag("depth", recipe.depth);
  for (const name of ["temperature", "top_p", "max_tokens", "critic_max_tokens", "seed", "quorum"]) flag(name.replaceAll("_", "-"), recipe.settings?.[name]);
  return parts.join(" \\\n  ");
}

function costsView(summary) {
  const stops = Object.entries(summary.stops).map(([stop, times]) => `${count(times)} × ${stop}`).join(", ");
  const shares = Object.entries(summary.time).map(([role, share]) => `${role} ${percent(share)}`).join(", ");
  return h(
    "div",
    {},
    usageTable(summary.usage),
    facts([
      ["cost", summary.cost === null ? null : number(summary.cost, 4)], ["searches ended", stops], ["time by role", shares],
      ["time", duration(summary.seconds)], ["queries a second", summary.queries_per_second && number(summary.queries_per_second, 2)],
      ["retries", count(summary.retries)], ["rows without a query", summary.bad_rows || null],
    ]),
  );
}

function answersView(run, room) {
  const box = h("div", {}, h("p", { class: "muted", role: "status" }, "Loading…"));
  const load = (all) => room.attempt(async () => {
    const found = await ask("answers", { run: run.name, all });
    if (found.unread) {
      const button = h("button", { type: "button", on: { click: () => load(1) } }, `Count them: ${count(found.unread / 1e6)} MB to read`);
      box.replaceChildren(h("p", {}, button));
    } else box.replaceChildren(...answersTables(found));
  });
  load();
  return box;
}

function answersTables({ steps, rules }) {
  if (!steps.length) return [h("p", { class: "muted" }, "No answers yet.")];
  const sum = (key) => steps.reduce((total, step) => total + step[key], 0);
  const share = (n, all) => `${count(n)} (${percent(all ? n / all : 0)})`;
  const row = (one) => [one.step, count(one.answers), share(one.scored, one.answers), share(one.cut, one.answers), count(one.failed), count(one.empty), count(one.characters), count(one.tokens)];
  const head = ["step", "answers", "scored", "cut off at the token limit", "failed", "empty", "mean characters", "mean tokens"];
  const shown = [
    h("p", {}, `${share(sum("scored"), sum("answers"))} of ${plural(sum("answers"), "answer")} have a reward, ${share(sum("cut"), sum("answers"))} were cut off at the token limit.`),
    numbersTable("All answers by step", head, steps.map(row)),
  ];
  if (rules.length) {
    const kept = (one) => steps.map((step) => {
      const [, good, all] = one.steps.find(([number_]) => number_ === step.step) ?? [0, 0, 0];
      return all ? `${percent(good / all)} of ${count(all)}` : "–";
    });
    const rows = rules.map((one) => [h("span", { title: one.rule }, one.words), ...kept(one)]);
    shown.push(h("h3", {}, "Answers that keep each rule"), numbersTable("Rules kept by step", ["rule", ...steps.map((step) => `step ${step.step}`)], rows));
  }
  return shown;
}
