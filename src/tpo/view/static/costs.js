// What each role of a search cost, when its calls were made, and which of them failed.

import { folded, h } from "./dom.js";
import { count, number, plural } from "./format.js";
import { timeline } from "./timeline.js";

const ROLE_HEADS = ["role", "calls", "retries", "prompt tokens", "cached", "completion tokens", "seconds", "waited"];

export function usageTable(usage, caption) {
  const rows = Object.entries(usage).map(([role, used]) => [
    h("th", { scope: "row" }, h("span", { class: `role ${role}` }), role),
    [used.calls, used.retries, used.prompt_tokens, used.cached_tokens, used.completion_tokens].map((n) => h("td", {}, count(n))),
    [used.seconds, used.waited].map((seconds) => h("td", {}, seconds.toFixed(1))),
  ]);
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "group", "aria-label": caption },
    h(
      "table",
      { class: "numbers" },
      h("caption", { class: "hidden" }, caption),
      h("thead", {}, h("tr", {}, ROLE_HEADS.map((cell) => h("th", { scope: "col" }, cell)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row))),
    ),
  );
}

export function callsView(calls) {
  const failed = calls.filter((call) => call.error);
  const lines = () => h("ul", {}, failed.map((call) => h("li", {}, `${call.role}, after ${number(call.began, 1)} s: ${call.error}`)));
  return [
    calls.length ? timeline(calls) : null,
    failed.length ? folded(plural(failed.length, "call failed or was cut short", "calls failed or were cut short"), lines) : null,
  ];
}
