// The first room: the runs and traces that there are, and what is being answered right now.

import { ask } from "./api.js";
import { h } from "./dom.js";
import { keepingFocus } from "./focus.js";
import { count, dials, moment, number, plural, signed } from "./format.js";
import { go, to } from "./route.js";
import { search, table } from "./table.js";

const EVERY = 5000;

// Columns that sort, by what they are called in the address.
const SORTS = {
  name: (run) => run.name,
  method: (run) => run.method ?? "",
  policy: (run) => run.policy ?? "",
  done: (run) => run.done,
  reward: (run) => run.answer_reward,
  gain: (run) => (run.first_reward === null || run.answer_reward === null ? null : run.answer_reward - run.first_reward),
  began: (run) => run.began ?? "",
};

// Runs that are picked for a comparison. While a run works, the room is made anew every few seconds.
const picked = new Set();

export async function runsRoom(settings, room) {
  const [sources, about] = await Promise.all([ask("sources"), ask("about")]);
  const there = sources.runs.filter((run) => !run.error).map((run) => run.name);
  for (const name of picked) if (!there.includes(name)) picked.delete(name);
  const compare = h("button", { type: "button", disabled: picked.size !== 2, on: { click: () => {
    const [run, other] = [...picked];
    go("compare", { run, with: other });
  } } }, "Compare two runs");
  const pick = (name) => (event) => {
    if (event.target.checked) picked.add(name);
    else picked.delete(name);
    compare.disabled = picked.size !== 2;
  };
  const parts = [h("header", { class: "heading" }, h("h1", { tabindex: -1 }, "Runs"))];
  const change = (news) => room.change(news);
  if (sources.runs.length > 1) {
    const filter = search(settings.search ?? "", (value) => change({ search: value }), "Filter runs", "name, data, model or reward");
    parts[0].append(h("p", { class: "actions" }, filter, compare));
  }
  const list = h("div", {});
  const show = (now) => list.replaceChildren(runsTable(chosen(sources.runs, now), sources.runs.length > 1, now, pick, picked, change));
  if (sources.runs.length) {
    show(settings);
    parts.push(list);
  }
  room.onChange(["sort", "order", "search"], show);
  if (about.live) {
    const live = h("div", {});
    parts.push(h("h2", {}, "Live requests"), live);
    const refresh = async () => {
      const requests = await ask("live");
      await keepingFocus(() => live.replaceChildren(liveTable(requests)));
    };
    await refresh();
    room.every(EVERY / 5, refresh);
  }
  if (sources.traces.length) parts.push(h("h2", {}, "Traces"), tracesTable(sources.traces));
  if (!sources.runs.length && !sources.traces.length && !about.live) parts.push(nothing(about.play));
  if (sources.runs.some((run) => run.state === "running")) room.every(EVERY, () => room.again());
  return h("div", {}, parts);
}

function chosen(runs, { search: words = "", sort, order = "up" }) {
  const wanted = words.toLowerCase();
  const shown = runs.filter((run) => [run.name, run.data, run.method, run.policy, run.reward].some((text) => text?.toLowerCase().includes(wanted)));
  const key = SORTS[sort];
  if (!key) return shown;
  const sign = order === "down" ? -1 : 1;
  // Runs without a value come last in both orders.
  const compared = (one, other) => (one === other ? 0 : one === null || one === undefined ? sign : other === null || other === undefined ? -sign : one < other ? -1 : 1);
  return shown.sort((one, other) => sign * compared(key(one), key(other)));
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

function runsTable(runs, several, settings, pick, picked, change) {
  const box = (run) => (several && !run.error ? h("input", { type: "checkbox", "aria-label": `Compare ${run.name}`, checked: picked.has(run.name), on: { change: pick(run.name) } }) : null);
  const bothRewards = (run) => run.first_reward !== null && run.answer_reward !== null;
  const cell = (draw, trouble = () => "") => (run) => (run.error ? trouble(run) : draw(run));
  const columns = [
    { name: "", label: "compare", cell: box },
    { name: "run, data", sort: "name", first: "up", head: true, cell: cell((run) => [h("a", { href: to("run", { run: run.name }) }, run.name), h("div", { class: "muted" }, run.data)], (run) => run.name) },
    { name: "method", sort: "method", first: "up", cell: cell((run) => dials(run), (run) => h("span", { class: "trouble" }, run.error)) },
    { name: "policy, reward", sort: "policy", first: "up", cell: cell((run) => [run.policy, h("div", { class: "muted", title: run.reward }, run.reward_label ?? "no reward")]) },
    { name: "done", sort: "done", look: "n", cell: cell((run) => [`${count(run.done)} / ${run.total === null ? "?" : count(run.total)}`, run.failed ? h("div", { class: "trouble" }, `${count(run.failed)} failed`) : null]) },
    { name: "mean reward", sort: "reward", look: "n", cell: cell((run) => (bothRewards(run) ? `${number(run.first_reward)} → ${number(run.answer_reward)}` : number(run.answer_reward))) },
    { name: "gain", sort: "gain", look: "n good", cell: cell((run) => (bothRewards(run) ? signed(run.answer_reward - run.first_reward) : "")) },
    { name: "state, begun", sort: "began", cell: cell((run) => [h("span", { class: `state ${run.state}` }, run.state === "failed" && run.failed < run.total ? "some failed" : run.state), h("div", { class: "muted" }, moment(run.began))]) },
  ];
  return table("The runs", columns, runs, { sort: settings.sort, order: settings.order }, (news) => change({ sort: news.sort, order: news.order }), "runs");
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
