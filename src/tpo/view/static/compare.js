// Two runs, query by query.

import { ask } from "./api.js";
import { sideBySide } from "./diffview.js";
import { fresh, h } from "./dom.js";
import { count, dials, number, oneLine, percent, plural, signed } from "./format.js";
import { histogram } from "./histogram.js";
import { crumbs } from "./query.js";
import { go, to } from "./route.js";
import { tile } from "./story.js";
import { choice, pages, search, table } from "./table.js";

const SHOW = [["all", "all queries"], ["better", "better in the second"], ["same", "the same"], ["worse", "worse in the second"]];

export async function compareRoom(settings, room) {
  const change = (news) => room.change(news);
  const { runs } = await ask("sources");
  const known = runs.filter((run) => !run.error);
  const names = known.map((run) => [run.name, run.name]);
  const [one, other] = [settings.run ?? names[0]?.[0], settings.with ?? names[1]?.[0]];
  if (names.length < 2) return h("div", {}, h("h1", { tabindex: -1 }, "Comparison"), h("p", { class: "muted" }, "A comparison needs two runs."));
  const pick = (key) => (value) => go("compare", { run: one, with: other, [key]: value });
  const parameters = { ...settings, run: one, with: other, sort: settings.sort ?? "row", order: settings.order ?? "up" };
  const found = await ask("compare", parameters);
  const list = h("section", { "aria-labelledby": "pairs" }, h("h2", { id: "pairs" }, "Query by query"));
  const show = (now, result) => {
    list.querySelector(".found")?.remove();
    list.append(
      h(
        "div",
        { class: "found" },
        h("p", { role: "status", class: "muted" }, `${count(result.matched)} of ${plural(result.both, "query", "queries")}`),
        table("The queries of both runs", columns(one, other, room, result.alike), result.rows, now, change),
        pages(result, change),
      ),
    );
    fillQuestions(list, one, result.rows);
  };
  list.append(
    h(
      "p",
      { class: "controls", role: "search" },
      search(settings.search ?? "", (value) => change({ search: value, page: null }), "Search queries"),
      choice("Show", SHOW, settings.show ?? "all", (value) => change({ show: value === "all" ? null : value, page: null })),
    ),
  );
  show(parameters, found);
  const bounds = h("span", {});
  const bound = ({ low, high }) => bounds.replaceChildren(low || high ? h("button", { type: "button", on: { click: () => change({ low: null, high: null, page: null }) } }, `difference ${number(Number(low))} to ${number(Number(high))} ✕`) : "");
  bound(settings);
  list.querySelector(".controls").append(bounds);
  room.onChange(["sort", "order", "page", "show", "search", "low", "high"], async (now) => {
    bound(now);
    const asked = { ...now, run: one, with: other, sort: now.sort ?? "row", order: now.order ?? "up" };
    show(asked, await ask("compare", asked));
  });
  const addressOf = (low, high) => to("compare", { ...room.settings, run: one, with: other, low, high, page: null });
  const choices = h("p", { class: "controls" }, choice("First", names, one, pick("run")), choice("Second", names, other, pick("with")));
  const trail = h("div", { class: "where" }, crumbs([["Runs", to("")], ["Comparison", null]]));
  const links = h("p", { class: "facts" }, [one, other].map((name, at) => h("span", {}, at ? "second: " : "first: ", h("a", { href: to("run", { run: name }) }, name), " ", dials(known.find((run) => run.name === name)))));
  return h("div", {}, trail, h("header", { class: "heading" }, h("h1", { tabindex: -1 }, "Comparison"), links, choices), overall(found, addressOf), list);
}

function overall(found, addressOf) {
  const parts = [];
  const totals = found.compared;
  if (!found.alike) {
    parts.push(h("p", { class: "trouble" }, "The two runs have different rewards, whose numbers cannot be compared. Answers can be."));
  }
  if (totals) {
    const share = (n) => percent(n / totals.queries);
    const { mean, wins } = totals;
    const verdict = mean.low > 0 ? "The second is better" : mean.high < 0 ? "The first is better" : "No clear difference";
    parts.push(
      h("p", { class: "verdict" }, h("strong", {}, `${verdict}: `), `the second run's rewards are ${signed(mean.value)} on average over ${plural(totals.queries, "query", "queries")} that both answered (paired, 95 % interval ${signed(mean.low)} to ${signed(mean.high)}).`),
      h(
        "dl",
        { class: "figures" },
        tile("Second is better", share(totals.better), plural(totals.better, "query", "queries")),
        tile("The same", share(totals.same), plural(totals.same, "query", "queries")),
        tile("Second is worse", share(totals.worse), plural(totals.worse, "query", "queries")),
        tile("Win rate", percent(wins.value), `95 %: ${percent(wins.low)} to ${percent(wins.high)}`),
        tile("Mean difference", signed(mean.value), `95 %: ${signed(mean.low)} to ${signed(mean.high)}`),
        tile("Length", signed(totals.longer, 0), "characters on average"),
      ),
    );
  }
  const notes = [...found.changes];
  if (found.only[0]) notes.push(`${plural(found.only[0], "query", "queries")} only in the first`);
  if (found.only[1]) notes.push(`${plural(found.only[1], "query", "queries")} only in the second`);
  const different = notes.length ? h("ul", {}, notes.map((note) => h("li", {}, note))) : h("p", { class: "muted" }, "The settings are the same.");
  const changes = h("section", {}, h("h2", {}, "What is different"), different);
  const chart = found.difference ? histogram(found.difference, { title: "Difference in reward", xName: "second minus first", addressOf, foot: h("p", { class: "muted" }, "A bar leads to its queries.") }) : null;
  parts.push(h("div", { class: "split even" }, chart ?? changes, chart ? changes : null));
  return h("div", {}, parts);
}

function columns(one, other, room, alike) {
  const reward = (name, side) => (row) => h("a", { href: to("query", { run: name, id: row.id }), "aria-label": `${row.id} in ${name}` }, row[side].error ? h("span", { class: "trouble" }, "failed") : number(row[side].reward));
  const shown = [
    { name: "query", sort: "row", look: "wide", cell: (row) => [h("span", { class: "mono" }, row.id), h("div", { class: "asked", dir: "auto", "data-id": row.id }), h("div", { class: "muted", dir: "auto" }, oneLine(row.other.answer, 110))] },
    { name: "first", look: "n", cell: reward(one, "one") },
    { name: "second", look: "n", cell: reward(other, "other") },
  ];
  if (alike) shown.push({ name: "difference", sort: "difference", look: "n", cell: (row) => h("span", { class: row.difference > 0 ? "good" : row.difference < 0 ? "bad" : "" }, signed(row.difference)) });
  shown.push({ name: "length", sort: "length", look: "n", cell: (row) => signed(row.longer, 0) });
  shown.push({ name: "", look: "", cell: (row) => opener(one, other, row, room) });
  return shown;
}

export async function fillQuestions(list, run, rows) {
  if (!rows.length) return;
  const questions = await ask("questions", { run, id: rows.map((row) => row.id) });
  for (const node of list.querySelectorAll(".asked[data-id]")) node.replaceChildren(h("span", {}, questions[node.dataset.id] ?? ""));
}

// Both answers, below the row.
function opener(one, other, row, room) {
  const id = fresh("pair");
  const button = h("button", { type: "button", "aria-expanded": "false", "aria-label": `Both answers to ${row.id}` }, "Answers");
  button.addEventListener("click", () => room.attempt(async () => {
    const line = button.closest("tr");
    if (button.getAttribute("aria-expanded") === "true") {
      line.nextElementSibling.remove();
      button.setAttribute("aria-expanded", "false");
      button.removeAttribute("aria-controls");
      return;
    }
    const pair = await ask("pair", { run: one, with: other, id: row.id });
    const side = (name, answer) => ({ label: name, text: answer?.text ?? "", note: answer?.error ?? `reward ${number(answer?.reward)}` });
    const both = sideBySide(side(one, pair.answers[0]), side(other, pair.answers[1]));
    line.after(h("tr", { id, class: "below" }, h("td", { colspan: line.children.length }, h("p", { class: "asked", dir: "auto" }, pair.question), both)));
    button.setAttribute("aria-expanded", "true");
    button.setAttribute("aria-controls", id);
  }));
  return button;
}
