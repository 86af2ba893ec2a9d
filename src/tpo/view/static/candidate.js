// One candidate: its text first, then its reward, the parts of the reward, and what the model really wrote.

import { folded, h } from "./dom.js";
import { count, number, oneLine, plural } from "./format.js";
import { byRank } from "./rank.js";
import { plain, reading } from "./reading.js";

export const FATES = { answer: "the answer", chosen: "chosen", rejected: "rejected" };

export function badge(fate) {
  return fate ? h("span", { class: `badge ${fate}` }, FATES[fate]) : null;
}

// Why a text ends where it does, where that is worth knowing.
export function ending(one) {
  if (one.finish_reason === "length") return h("span", { class: "badge cutoff" }, "cut off at the token limit");
  return one.finish_reason && one.finish_reason !== "stop" ? h("span", { class: "muted" }, `ended: ${one.finish_reason}`) : null;
}

export function sizes(one) {
  return h("span", { class: "muted" }, `${plural(one.tokens, "token")} · ${plural(one.text.length, "character")}`);
}

// The score of the held-out judge, which only the first sample and the answer have.
export function verdict(one) {
  return one.judged === null || one.judged === undefined ? null : h("span", { class: "muted", title: "The held-out judge chose nothing: it only measures." }, `judge ${number(one.judged)}`);
}

export function candidateView(one, fate) {
  const parts = Object.entries(one.parts ?? {});
  return h(
    "div",
    {},
    h("header", {}, h("strong", { class: "mono" }, one.id), h("span", { class: "reward" }, number(one.reward)), badge(fate.get(one.id)), verdict(one), ending(one), one.arm ? h("span", { class: "muted", dir: "auto" }, `by ${one.arm}`) : null, sizes(one)),
    one.error ? h("p", { class: "trouble" }, one.error) : null,
    one.leaked ? h("p", { class: "trouble" }, `It repeats words of the prompt, so it ranks below the others: ${one.leaked}`) : null,
    one.text ? reading(one.text, { className: "answer" }) : h("p", { class: "muted" }, "no text"),
    one.feedback ? h("p", { class: "muted", dir: "auto" }, one.feedback) : null,
    parts.length ? folded(plural(parts.length, "part of the reward", "parts of the reward"), () => partsTable(parts), { open: parts.length <= 6 }) : null,
    one.reasoning ? folded("Reasoning", () => plain(one.reasoning)) : null,
    one.reply ? folded("The whole reply of the model", () => plain(one.reply)) : null,
  );
}

function partsTable(parts) {
  return h("dl", { class: "parts" }, parts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, number(value))]));
}

// The candidates of a step, the best first, a line each that opens.
export function candidateLines(candidates, fate) {
  const best = [...candidates].sort(byRank);
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
          badge(fate.get(one.id)),
        ),
        () => candidateView(one, fate),
      ),
    ),
  );
}

export function messagesView(list) {
  return h("div", { class: "messages" }, list.map((one) => h("div", { class: `message ${one.role}` }, h("header", {}, one.role), reading(one.text))));
}

export function find(all, id) {
  return id === null || id === undefined ? null : (all.find((one) => one.id === id) ?? null);
}
