// The first room: the runs and traces that there are, and what is being answered right now.

import { ask } from "./api.js";
import { h } from "./dom.js";
import { count, dials, moment, number, plural, signed } from "./format.js";
import { go, to } from "./route.js";

const EVERY = 5000;

export async function runsRoom(settings, room) {
  const [sources, about] = await Promise.all([ask("sources"), ask("about")]);
  const picked = new Set();
  const compare = h("button", { type: "button", disabled: true, on: { click: () => {
    const [run, other] = [...picked];
    go("compare", { run, with: other });
  } } }, "Compare two runs");
  const pick = (name) => (event) => {
    if (event.target.checked) picked.add(name);
    else picked.delete(name);
    compare.disabled = picked.size !== 2;
  };
  const parts = [h("header", { class: "heading" }, h("h1", { tabindex: -1 }, "Runs"))];
  if (sources.runs.length > 1) parts[0].append(h("p", { class: "actions" }, compare));
  if (sources.runs.length) parts.push(runsTable(sources.runs, pick));
  if (about.live) {
    const list = h("div", {});
    parts.push(h("h2", {}, "Live requests"), list);
    const refresh = async () => list.replaceChildren(liveTable(await ask("live")));
    await refresh();
    room.every(EVERY / 5, refresh);
  }
  if (sources.traces.length) parts.push(h("h2", {}, "Traces"), tracesTable(sources.traces));
  if (!sources.runs.length && !sources.traces.length && !about.live) {
    parts.push(nothing(about.play));
  }
  if (sources.runs.some((run) => run.state === "running")) room.every(EVERY, () => room.again());
  return h("div", {}, parts);
}

function nothing(play) {
  const ways = [
    [h("code", {}, "tpo run DATA --out DIR"), " answers a dataset, which makes a run."],
    [h("code", {}, "tpo align QUESTION --trace FILE"), " answers a question, and writes its trace."],
    [h("code", {}, "tpo view DIR"), " looks at another folder than this one."],
  ];
  if (play) ways.push([h("a", { href: to("play") }, "The playground"), " answers a question here and now."]);
  return h("div", {}, h("p", {}, "There is no run and no trace here yet."), h("ul", {}, ways.map((way) => h("li", {}, way))));
}

function runsTable(runs, pick) {
  const rows = runs.map((run) => {
    if (run.error) return h("tr", {}, h("td", {}), h("th", { scope: "row" }, run.name), h("td", { colspan: 6, class: "trouble" }, run.error));
    const both = run.first_reward !== null && run.answer_reward !== null;
    return h(
      "tr",
      {},
      h("td", {}, runs.length > 1 ? h("input", { type: "checkbox", "aria-label": `Compare ${run.name}`, on: { change: pick(run.name) } }) : null),
      h("th", { scope: "row" }, h("a", { href: to("run", { run: run.name }) }, run.name), h("div", { class: "muted" }, run.data)),
      h("td", {}, dials(run)),
      h("td", {}, run.policy, h("div", { class: "muted", title: run.reward }, run.reward_label ?? "no reward")),
      h("td", { class: "n" }, `${count(run.done)} / ${run.total === null ? "?" : count(run.total)}`, run.failed ? h("div", { class: "trouble" }, `${count(run.failed)} failed`) : null),
      h("td", { class: "n" }, both ? `${number(run.first_reward)} → ${number(run.answer_reward)}` : number(run.answer_reward)),
      h("td", { class: "n good" }, both ? signed(run.answer_reward - run.first_reward) : ""),
      h("td", {}, h("span", { class: `state ${run.state}` }, run.state === "failed" && run.failed < run.total ? "some failed" : run.state), h("div", { class: "muted" }, moment(run.began))),
    );
  });
  const head = ["", "run, data", "method", "policy, reward", "done", "mean reward", "gain", "state, begun"];
  return grid("The runs", head, rows, [4, 5, 6]);
}

function liveTable(requests) {
  if (!requests.length) return h("p", { class: "muted" }, "Nothing is being answered.");
  const rows = requests.map((one) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, h("a", { href: to("live", { id: one.id }), dir: "auto" }, one.question || one.id)),
      h("td", {}, one.method),
      h("td", {}, one.step === null ? "" : `step ${one.step}`),
      h("td", { class: "n" }, count(one.answers)),
      h("td", { class: "n" }, number(one.reward)),
      h("td", {}, h("span", { class: `state ${one.state}` }, one.state), h("div", { class: "muted" }, moment(one.at))),
    ),
  );
  return grid("Live requests", ["question", "method", "at", "answers", "best reward", "state, begun"], rows, [3, 4]);
}

function tracesTable(traces) {
  const rows = traces.map((trace) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, h("a", { href: to("trace", { trace: trace.name }), dir: "auto" }, trace.question ?? trace.name), h("div", { class: "muted mono" }, trace.name)),
      h("td", {}, dials(trace.method ? trace : null)),
      h("td", {}, moment(trace.at)),
    ),
  );
  return grid("Traces", ["question, file", "method", "begun"], rows, []);
}

function grid(caption, head, rows, right) {
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "group", "aria-label": caption },
    h(
      "table",
      { class: "list" },
      h("caption", { class: "hidden" }, `${caption}: ${plural(rows.length, "row")}`),
      h("thead", {}, h("tr", {}, head.map((cell, at) => h(cell ? "th" : "td", { scope: cell ? "col" : null, class: right.includes(at) ? "n" : null }, cell)))),
      h("tbody", {}, rows),
    ),
  );
}
