// A table of numbers, whose first column names the row.

import { h } from "./dom.js";

// `rows`: [[name or node, ...cells]].
export function numbersTable(caption, head, rows) {
  const cell = (value, at) => (at === 0 ? h("th", { scope: "row" }, value) : h("td", {}, value));
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "group", "aria-label": caption },
    h(
      "table",
      { class: "numbers" },
      h("caption", { class: "hidden" }, caption),
      h("thead", {}, h("tr", {}, head.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map(cell)))),
    ),
  );
}
