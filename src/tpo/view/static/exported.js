// The entry of a file that holds one story.

import { copier } from "./copy.js";
import { h } from "./dom.js";
import { storyView } from "./story.js";

const story = JSON.parse(document.getElementById("story").textContent);
const made = story.version ? `tpo ${story.version}` : "tpo";
document.getElementById("main").append(
  storyView(story, { actions: copier("Copy as JSON", () => JSON.stringify(story, null, 2)) }),
  h("footer", { class: "foot" }, `Made by ${made}: Test-Time Preference Optimization, arXiv 2501.12895.`),
);
