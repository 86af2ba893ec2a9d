// A search while it runs: its candidates as dots and cards, the best so far, and the critique as it is written.

import { candidateView, find } from "./candidate.js";
import { dots } from "./dots.js";
import { h } from "./dom.js";
import { number, oneLine, plural } from "./format.js";
import { bestOf } from "./rank.js";
import { plain } from "./reading.js";

const KINDS = { loss: "Critique", gradient: "Advice" };

export class Watching {
  constructor(title) {
    this.status = h("p", { role: "status", "aria-live": "polite", class: "status" });
    this.steps = [];
    this.growing = new Map();
    this.critics = [];
    this.story = null;
    this.chart = h("div", {});
    this.words = h("div", { class: "cards" });
    this.best = h("div", {});
    this.cards = h("div", { class: "cards" });
    this.node = h("section", { "aria-label": title ?? "The search" }, title ? h("h2", {}, title) : null, this.status, this.best, h("div", { class: title ? "" : "split" }, this.chart, h("div", {}, this.words, this.cards)));
    this.report("Waiting for the models…");
  }

  take(batch) {
    for (const event of batch) this.one(event);
    this.draw();
  }

  one(event) {
    const handlers = {
      started: () => this.report(`${event.method} with ${event.models.policy}`),
      prompted: () => this.prompted(event),
      grew: () => this.grew(event),
      sampled: () => {
        this.growing.delete(event.index);
        const { candidates } = this.step(event.step);
        // An empty answer may be drawn again under its id.
        const known = candidates.findIndex((one) => one.id === event.id);
        candidates.splice(known < 0 ? candidates.length : known, known < 0 ? 0 : 1, { ...event, reward: null, parts: {} });
      },
      scored: () => {
        const one = find(this.all(), event.id);
        if (one) one.reward = event.reward;
      },
      replied: () => {
        const critic = this.critics.findLast((one) => one.name === event.name);
        if (critic) critic.text = event.text;
        this.report(`Step ${event.step}: the ${kind(event.name).toLowerCase()} is written`);
      },
      retrying: () => this.report(`${event.role}: ${event.error} Trying again in ${number(event.wait, 1)} s.`),
    };
    handlers[event.happened]?.();
  }

  all() {
    return this.steps.flatMap((step) => step.candidates);
  }

  step(place) {
    while (this.steps.length <= place) {
      this.steps.push({ step: this.steps.length, chosen: null, rejected: null, loss: null, gradient: null, candidates: [] });
    }
    return this.steps[place];
  }

  prompted(event) {
    const step = this.step(event.step);
    if (event.chosen) step.chosen = event.chosen;
    if (event.rejected) step.rejected = event.rejected;
    if (event.width === null) {
      if (this.critics.at(-1)?.step !== event.step) this.critics = [];
      this.critics.push({ name: event.name, step: event.step, text: "" });
      this.report(`Step ${event.step}: the ${kind(event.name).toLowerCase()} is being written`);
    } else {
      this.growing.clear();
      this.report(`Step ${event.step}: drawing ${plural(event.width, "answer")}`);
    }
  }

  grew(event) {
    const critic = this.critics.findLast((one) => one.name === event.name);
    if (critic) critic.text += event.text;
    else this.growing.set(event.index, (this.growing.get(event.index) ?? "") + event.text);
  }

  leader() {
    return bestOf(this.all());
  }

  draw() {
    const leader = this.leader();
    const drawn = { steps: this.steps.filter((step) => step.candidates.length), answer: leader?.id ?? null };
    if (drawn.steps.length) this.chart.replaceChildren(dots(drawn, { height: 300, answerName: "best so far" }));
    this.words.replaceChildren(...this.critics.map(words));
    // Until the first answer of a step arrives, those of the step before are shown.
    const last = this.growing.size ? this.steps.at(-1) : drawn.steps.at(-1);
    const landed = (last?.candidates ?? []).map((one) => card(one.id, number(one.reward), one.text, one === leader));
    const coming = [...this.growing].map(([index, text]) => card(`${last?.step ?? 0}.${index}`, "…", text.slice(-400)));
    this.cards.replaceChildren(...landed, ...coming);
  }

  finish(story) {
    this.story = story;
    if (story.error) this.report(story.error, "trouble");
    else this.report("Done");
  }

  // What was found until then stays on the page.
  stopped() {
    const leader = this.leader();
    this.growing.clear();
    this.draw();
    this.report(leader ? `Stopped. The best answer so far is ${leader.id}, reward ${number(leader.reward)}.` : "Stopped before an answer had a reward.");
    if (leader) this.best.replaceChildren(h("section", { class: "panel best", "aria-label": "The best answer so far" }, candidateView({ finish_reason: null, ...leader }, new Map([[leader.id, "answer"]]))));
  }

  fail(message) {
    this.story = null;
    this.failed = true;
    this.report(message, "trouble");
  }

  over() {
    if (!this.story && !this.failed) this.fail("The server ended the answer early.");
  }

  report(text, look = "") {
    this.status.className = `status ${look}`;
    this.status.textContent = text;
  }
}

function kind(name) {
  return KINDS[Object.keys(KINDS).find((one) => name.includes(one))] ?? "Critique";
}

function words(critic) {
  return h("blockquote", { class: "criticism" }, h("header", {}, h("strong", {}, kind(critic.name))), critic.text ? plain(critic.text) : h("p", { class: "muted" }, "is being written…"));
}

function card(id, reward, text, best = false) {
  return h(
    "div",
    { class: best ? "card leading" : "card" },
    h("header", {}, h("span", { class: "mono" }, id), h("span", { class: "reward" }, reward), best ? h("span", { class: "badge answer" }, "best so far") : null),
    h("p", { dir: "auto" }, oneLine(text, 220)),
  );
}
