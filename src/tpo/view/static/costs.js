// What each role of a search cost, and each arm of a panel; when the calls were made, and which of them failed.

import { folded, h } from "./dom.js";
import { count, number, percent, plural } from "./format.js";
import { numbersTable } from "./numbers.js";
import { timeline } from "./timeline.js";

export function usageTable(usage) {
  const rows = Object.entries(usage).map(([role, used]) => [
    h("span", { class: `role ${role}` }, role),
    ...[used.calls, used.retries, used.prompt_tokens, used.cached_tokens, used.completion_tokens].map(count),
    ...[used.seconds, used.waited].map((seconds) => seconds.toFixed(1)),
  ]);
  return numbersTable("What each role cost", ["role", "calls", "retries", "prompt tokens", "cached", "completion tokens", "seconds", "waited"], rows);
}

// Nothing where the policy is one model.
export function armsTable(arms) {
  const shown = Object.entries(arms ?? {});
  if (!shown.length) return null;
  const won = shown.reduce((sum, [, used]) => sum + used.wins, 0);
  const rows = shown.map(([arm, used]) => [
    h("span", { dir: "auto" }, arm),
    won > 1 ? `${count(used.wins)} (${percent(used.wins / won)})` : count(used.wins),
    ...[used.answers, used.calls, used.prompt_tokens, used.completion_tokens].map(count),
    used.seconds.toFixed(1),
  ]);
  return numbersTable("What each model of the panel brought", ["model of the panel", "answers chosen", "answers", "calls", "prompt tokens", "completion tokens", "seconds"], rows);
}

export function callsView(calls) {
  const failed = calls.filter((call) => call.error);
  const lines = () => h("ul", {}, failed.map((call) => h("li", {}, `${call.role}${call.arm ? ` (${call.arm})` : ""}, after ${number(call.began, 1)} s: ${call.error}`)));
  return [
    calls.length ? timeline(calls) : null,
    failed.length ? folded(plural(failed.length, "call failed or was cut short", "calls failed or were cut short"), lines) : null,
  ];
}
