// One run: what it came to in figures and charts, and its queries.

import { ask } from "./api.js";
import { fillQuestions } from "./compare.js";
import { armsTable } from "./costs.js";
import { detailsView } from "./details.js";
import { folded, h } from "./dom.js";
import { keepingFocus } from "./focus.js";
import { count, dials, duration, moment, number, oneLine, percent, plural, signed } from "./format.js";
import { histogram } from "./histogram.js";
import { lines } from "./lines.js";
import { crumbs } from "./query.js";
import { LIST, only, to } from "./route.js";
import { costChart, judgeChart, lengthChart } from "./scatter.js";
import { spread } from "./spread.js";
import { tile } from "./story.js";
import { choice, pages, search, table } from "./table.js";

const EVERY = 5000;
const SHOW = [["all", "all queries"], ["improved", "improved"], ["same", "not improved"], ["worse", "worse"], ["failed", "failed"]];
const OVER = [["first", "the first sample"], ["best", "the best first sample"]];

export async function runRoom(settings, room) {
  const run = await ask("run", { run: settings.run, over: settings.over });
  const list = h("section", { "aria-labelledby": "queries" });
  const change = (news) => room.change(news);
  const above = h("div", {}, overview(run, settings, change));
  const show = async (now) => {
    const parameters = { sort: "row", order: "up", ...now };
    const found = await ask("queries", parameters);
    const cells = columns(now);
    list.querySelector(".found")?.remove();
    list.append(
      h(
        "div",
        { class: "found" },
        h("p", { role: "status", class: "muted" }, found.matched === found.total ? plural(found.total, "query", "queries") : `${count(found.matched)} of ${plural(found.total, "query", "queries")}`),
        table("The queries", cells, found.rows, parameters, change),
        pages(found, change),
      ),
    );
    fillQuestions(list, settings.run, found.rows);
  };
  list.append(h("h2", { id: "queries" }, "Queries"), controls(settings, change));
  await show(settings);
  let before = settings;
  room.onChange(LIST.filter((name) => name !== "over"), async (now) => {
    list.querySelector(".controls").replaceWith(controls(now, change));
    await show(now);
    // A mark of a chart leads to the list.
    if (["low", "high", "step"].some((name) => now[name] !== before[name] && now[name] !== undefined)) list.scrollIntoView();
    before = now;
  });
  if (run.state === "running") {
    room.every(EVERY, async () => {
      const now = await ask("run", { run: settings.run, over: settings.over });
      await keepingFocus(() => above.replaceChildren(...overview(now, room.settings, change)));
      if (now.state !== "running") room.again();
    });
  }
  return h("div", {}, crumbsOf(run), above, detailsView(run, room), list);
}

function crumbsOf(run) {
  return h("div", { class: "where" }, crumbs([["Runs", to("")], [run.name, null]]));
}

function overview(run, settings, change) {
  const { summary, recipe } = run;
  const facts = [dials(recipe), recipe.models?.policy, run.reward_label && `reward ${run.reward_label}`, run.data, h("time", { datetime: run.began }, moment(run.began)), `tpo ${run.version}`];
  const [first, answer] = [summary.first, summary.reward];
  const parts = [
    h(
      "header",
      { class: "heading" },
      h("p", { class: "kicker" }, h("span", { class: `state ${run.state}` }, standing(run))),
      h("h1", { tabindex: -1 }, run.name),
      h("p", { class: "facts" }, facts.filter(Boolean).map((fact) => h("span", {}, fact))),
    ),
    h(
      "dl",
      { class: "figures" },
      tile("Queries", `${count(summary.done + summary.failed)}`, run.counted && summary.left ? `${count(summary.left)} left` : summary.failed ? `${count(summary.failed)} failed` : run.counted ? "all answered" : "some may be left"),
      answer && tile("Mean reward", number(answer.value), first ? `${number(first.value)} at first` : ""),
      first && answer && tile("Gain", signed(answer.value - first.value), "over the first sample", answer.value > first.value ? "good" : ""),
      summary.improved && tile("Improved", percent(summary.improved.value), `95 %: ${percent(summary.improved.low)} to ${percent(summary.improved.high)}`),
      judgement(run),
      tile("Tokens a second", count(summary.tokens_per_second), summary.cached_share === null ? "" : `${percent(summary.cached_share)} of prompts cached`),
      tile("Time", duration(summary.seconds), plural(summary.calls, "call")),
    ),
  ];
  if (summary.warnings.length) parts.push(h("section", { class: "warnings", "aria-label": "Warnings" }, h("ul", {}, summary.warnings.map((warning) => h("li", {}, h("strong", {}, "Warning: "), warning)))));
  parts.push(charts(run, settings, change));
  const arms = armsTable(summary.arms);
  if (arms) parts.push(h("section", { "aria-labelledby": "panel" }, h("h2", { id: "panel" }, "Models of the panel"), arms));
  const errors = Object.entries(summary.errors);
  if (errors.length) {
    parts.push(folded(plural(summary.failed, "query failed", "queries failed"), () => h("ul", {}, errors.map(([error, times]) => h("li", {}, `${count(times)} × ${error}`)))));
  }
  return parts;
}

function judgement({ summary: { held_out: found }, judge_label: label }) {
  if (!found) return null;
  const { first, answer, gain, missing } = found;
  const look = gain.low > 0 ? "good" : gain.high !== null && gain.high < 0 ? "bad" : "";
  const note = `${number(first.value)} to ${number(answer.value)}${label ? `, ${label}` : ""}${missing ? `; no score for ${count(missing)}` : ""}`;
  return tile(h("span", { title: found.judge }, "Gain by the judge"), signed(gain.value), note, look);
}

// "failed" beside a run would mean all of it.
function standing({ state, summary }) {
  return state === "failed" ? `finished, ${plural(summary.failed, "query", "queries")} failed` : state;
}

function charts(run, settings, change) {
  const shown = [];
  const steps = run.summary.steps;
  const points = (key) => steps.filter((step) => step[key]).map((step) => ({ x: step.step, ...step[key] }));
  const listed = (news) => to("run", { ...settings, ...news, page: null });
  const queryOf = (row) => to("query", { run: run.name, over: settings.over, row });
  const found = new Map(run.gain_by_step.map((step) => [step.step, step.found]));
  const leadOf = (step) => [listed({ step }), `${plural(found.get(step) ?? 0, "answer was", "answers were")} found here`];
  if (steps.length) {
    const series = [
      { name: "best so far", look: "first", points: points("best") },
      { name: "mean of the step", look: "second", points: points("mean") },
    ].filter((one) => one.points.length);
    const level = run.summary.first && { name: "first sample", value: run.summary.first.value };
    const legend = h("p", { class: "legend" }, h("span", { class: "swatch first" }, "best so far"), h("span", { class: "swatch second" }, "mean of the step's own answers"));
    shown.push(lines("Reward by step", series, { level, leadOf, note: "means with 95 % intervals", foot: legend }));
  }
  if (run.gain) {
    const over = choice("Gain over", OVER, settings.over ?? "first", (value) => change({ over: value === "first" ? null : value, low: null, high: null, page: null }));
    const addressOf = (low, high) => listed({ low, high });
    const foot = h("p", { class: "controls" }, over, h("span", { class: "muted" }, "A bar leads to its queries."));
    shown.push(histogram(run.gain, { title: "Gain", xName: "gain in reward", addressOf, note: `${percent(run.gained)} gained`, foot }));
  }
  if (run.gain_by_step.length > 1) shown.push(spread(run.gain_by_step, { title: "Gain by step", leadOf }));
  if (run.held_out) {
    shown.push(judgeChart(run.held_out, queryOf));
    if (run.held_out.steps.length > 1) shown.push(exploited(run.held_out.steps, leadOf));
  }
  if (run.length) shown.push(lengthChart(run.length, queryOf));
  if (run.tokens) shown.push(costChart(run.tokens, queryOf));
  if (run.best.length) shown.push(h("div", { class: "figure" }, cases("Best", run.best, run.name), cases("Worst", run.worst, run.name)));
  return h("section", { class: "charts", "aria-label": "Charts" }, shown);
}

// Both gains on one scale, which shows where the reward goes on rising and the judge does not.
function exploited(steps, leadOf) {
  const series = [["reward", "first"], ["judge", "second"]].map(([name, look]) => ({ name: name === "judge" ? "held-out judge" : name, look, points: steps.map((step) => ({ x: step.step, ...step[name] })) }));
  const legend = h("p", { class: "legend" }, h("span", { class: "swatch first" }, "reward"), h("span", { class: "swatch second" }, "held-out judge"), h("span", {}, "Queries are grouped by the step that found their answer. The unit is a standard deviation of the first samples' scores."));
  return lines("Gain of reward and judge", series, { level: { name: "first sample", value: 0 }, leadOf, yName: "gain in standard deviations", note: "means with 95 % intervals", foot: legend });
}

function cases(title, rows, run) {
  return h(
    "section",
    {},
    h("h2", {}, title, " ", h("span", { class: "muted" }, "by gain")),
    h(
      "ul",
      { class: "cases" },
      rows.map((row) =>
        h("li", {}, h("span", { class: "n" }, signed(row.gain)), h("a", { href: to("query", { run, id: row.id }), dir: "auto" }, h("span", { class: "mono" }, row.id), " ", oneLine(row.answer, 90)))),
    ),
  );
}

function controls(settings, change) {
  const without = (words, news) => h("button", { type: "button", on: { click: () => change({ ...news, page: null }) } }, `${words} ✕`);
  return h(
    "p",
    { class: "controls", role: "search" },
    search(settings.search ?? "", (value) => change({ search: value, page: null }), "Search queries"),
    choice("Show", SHOW, settings.show ?? "all", (value) => change({ show: value === "all" ? null : value, page: null })),
    settings.low || settings.high ? without(`gain ${number(Number(settings.low))} to ${number(Number(settings.high))}`, { low: null, high: null }) : null,
    settings.step ? without(`answer found at step ${settings.step}`, { step: null }) : null,
  );
}

function columns(settings) {
  const shown = (row) => [
    h("a", { href: to("query", { run: settings.run, ...only(settings, LIST), id: row.id }), class: "mono" }, row.id),
    h("div", { class: "asked", dir: "auto", "data-id": row.id }),
    row.error ? h("div", { class: "trouble" }, oneLine(row.error)) : h("div", { class: "muted", dir: "auto" }, oneLine(row.answer, 140)),
  ];
  return [
    { name: "query", sort: "row", look: "wide", cell: shown },
    { name: "first", sort: "first", look: "n", cell: (row) => number(row.first) },
    { name: "reward", sort: "reward", look: "n", cell: (row) => number(row.reward) },
    { name: "gain", sort: "gain", look: "n", cell: (row) => h("span", { class: row.gain > 0 ? "good" : row.gain < 0 ? "bad" : "" }, signed(row.gain)) },
    { name: "length", sort: "length", look: "n", cell: (row) => [count(row.length), h("div", { class: "muted" }, signed(row.length - row.first_length, 0))] },
    { name: "tokens", sort: "tokens", look: "n", cell: (row) => count(row.spent) },
    { name: "time", sort: "seconds", look: "n", cell: (row) => duration(row.seconds) },
  ];
}
