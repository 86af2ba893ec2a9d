// The beginning of a file that holds one story.

import { h } from "./dom.js";
import { storyView } from "./story.js";

const story = JSON.parse(document.getElementById("story").textContent);
const made = story.version ? `tpo ${story.version}` : "tpo";
document.getElementById("main").append(
  storyView(story),
  h("footer", { class: "foot" }, `Made by ${made}: Test-Time Preference Optimization, arXiv 2501.12895.`),
);
