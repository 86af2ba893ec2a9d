// The playground: a question, a method, N and D, and what happens while it is answered.

import { ask, events } from "./api.js";
import { dots } from "./dots.js";
import { fresh, h } from "./dom.js";
import { number, oneLine, plural } from "./format.js";
import { plain } from "./reading.js";
import { storyView } from "./story.js";

export async function playRoom(settings, room) {
  const { play } = await ask("about");
  if (!play) return h("div", {}, h("h1", { tabindex: -1 }, "Playground"), h("p", { class: "muted" }, "There is no playground here."));
  const stage = h("div", {});
  const status = h("p", { role: "status", "aria-live": "polite", class: "status" });
  const ids = { question: fresh("field"), method: fresh("field"), width: fresh("field"), depth: fresh("field") };
  const question = h("textarea", { id: ids.question, rows: 3, required: true, dir: "auto", placeholder: "Ask something" });
  const methods = play.methods.map((one) => h("option", { value: one.name, selected: one.name === play.method }, one.name));
  const method = h("select", { id: ids.method, on: { change: () => dialsOf() } }, methods);
  const dial = (name, low) => h("input", { id: ids[name], type: "number", min: low, max: play[`most_${name}`], value: play[name], required: true });
  const [width, depth] = [dial("width", 1), dial("depth", 0)];
  const dialsOf = () => {
    const chosen = play.methods.find((one) => one.name === method.value);
    width.disabled = !chosen.has_width;
    depth.disabled = !chosen.has_depth;
  };
  dialsOf();
  const begin = h("button", { type: "submit", class: "primary" }, "Answer");
  const stop = h("button", { type: "button", hidden: true }, "Stop");
  const submit = async (event) => {
    event.preventDefault();
    const aborting = new AbortController();
    room.onLeave(() => aborting.abort());
    stop.onclick = () => aborting.abort();
    begin.disabled = true;
    stop.hidden = false;
    const options = { question: question.value, method: method.value, width: Number(width.value), depth: Number(depth.value) };
    const watching = new Watching(stage, status);
    try {
      for await (const message of events("play", options, aborting.signal)) {
        if (message.name === "events") watching.take(message.data);
        else if (message.name === "story") watching.finish(message.data);
        else watching.fail(message.data.error);
      }
      watching.over();
    } catch (error) {
      watching.fail(error.name === "AbortError" ? "Stopped. Nothing more is asked of the models." : error.message);
    } finally {
      begin.disabled = false;
      stop.hidden = true;
    }
  };
  const form = h(
    "form",
    { class: "play", on: { submit } },
    h("label", { for: ids.question }, "Question"),
    question,
    h(
      "p",
      { class: "controls" },
      h("label", { for: ids.method }, "Method ", method),
      h("label", { for: ids.width }, "N, answers a step ", width),
      h("label", { for: ids.depth }, "D, steps ", depth),
      begin,
      stop,
    ),
  );
  question.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  return h("div", {}, h("header", { class: "heading" }, h("h1", { tabindex: -1 }, "Playground"), h("p", { class: "facts" }, play.about)), form, status, stage);
}

// What is on the stage while an answer is being looked for.
class Watching {
  constructor(stage, status) {
    this.status = status;
    this.steps = [];
    this.growing = new Map();
    this.critic = null;
    this.ended = false;
    this.chart = h("div", {});
    this.cards = h("div", { class: "cards" });
    this.words = h("blockquote", { class: "said", hidden: true });
    this.stage = stage;
    stage.replaceChildren(h("div", { class: "split" }, this.chart, h("div", {}, this.words, this.cards)));
    this.say("Asking…");
  }

  take(events_) {
    for (const event of events_) this.one(event);
    this.draw();
  }

  one(event) {
    const known = (id) => this.steps.flatMap((step) => step.candidates).find((one) => one.id === id);
    const handle = {
      started: () => this.say(`${event.method} with ${event.models.policy}`),
      prompted: () => this.prompted(event),
      grew: () => this.grew(event),
      sampled: () => {
        this.growing.delete(event.index);
        this.step(event.step).candidates.push({ ...event, reward: null, parts: {} });
      },
      scored: () => {
        const one = known(event.id);
        if (one) one.reward = event.reward;
      },
      replied: () => {
        this.critic = { name: event.name, text: event.text };
        this.say(`Step ${event.step}: the ${event.name.includes("loss") ? "critique" : "advice"} is written`);
      },
      retrying: () => this.say(`${event.role}: ${event.error} Trying again in ${number(event.wait, 1)} s.`),
    }[event.happened];
    handle?.();
  }

  step(number_) {
    while (this.steps.length <= number_) {
      this.steps.push({ step: this.steps.length, chosen: null, rejected: null, loss: null, gradient: null, candidates: [] });
    }
    return this.steps[number_];
  }

  prompted(event) {
    const step = this.step(event.step);
    if (event.chosen) step.chosen = event.chosen;
    if (event.rejected) step.rejected = event.rejected;
    if (event.width === null) {
      this.critic = { name: event.name, text: "" };
      this.say(`Step ${event.step}: the ${event.name.includes("loss") ? "critique" : "advice"} is being written`);
    } else {
      this.growing.clear();
      this.say(`Step ${event.step}: drawing ${plural(event.width, "answer")}`);
    }
  }

  grew(event) {
    if (this.critic && this.critic.name === event.name) this.critic.text += event.text;
    else this.growing.set(event.index, (this.growing.get(event.index) ?? "") + event.text);
  }

  draw() {
    const story = { steps: this.steps.filter((step) => step.candidates.length), answer: null };
    if (story.steps.length) this.chart.replaceChildren(dots(story, { height: 300 }));
    if (this.critic) {
      this.words.hidden = false;
      this.words.replaceChildren(h("header", {}, h("strong", {}, this.critic.name.includes("loss") ? "Critique" : "Advice")), this.critic.text ? plain(this.critic.text) : h("p", { class: "muted" }, "is being written…"));
    }
    // Until the first answer of a step is on its way, those of the step before are still what there is to look at.
    const last = this.growing.size ? this.steps.at(-1) : story.steps.at(-1);
    const landed = (last?.candidates ?? []).map((one) => card(one.id, number(one.reward), one.text));
    const coming = [...this.growing].map(([index, text]) => card(`${last?.step ?? 0}.${index}`, "…", text.slice(-400)));
    this.cards.replaceChildren(...landed, ...coming);
  }

  finish(story) {
    this.ended = true;
    this.say(`Done: the answer is ${story.answer}, reward ${number(story.steps.flatMap((step) => step.candidates).find((one) => one.id === story.answer)?.reward)}`);
    this.stage.replaceChildren(storyView(story, { headed: false }));
  }

  fail(message) {
    this.ended = true;
    this.say(message, "trouble");
  }

  over() {
    if (!this.ended) this.fail("The server broke off.");
  }

  say(words, look = "") {
    this.status.className = `status ${look}`;
    this.status.textContent = words;
  }
}

function card(id, reward, text) {
  return h("div", { class: "card" }, h("header", {}, h("span", { class: "mono" }, id), h("span", { class: "reward" }, reward)), h("p", { dir: "auto" }, oneLine(text, 220)));
}
