// A table of queries: headings that sort, and pages.

import { h } from "./dom.js";
import { count } from "./format.js";

// `columns`: [{ name, sort, cell, look, head }]: `head` names the row; `settings` has the sort and order in force; `change` is called with new ones.
export function table(caption, columns, rows, settings, change, look = "") {
  const heads = columns.map((column) => {
    if (!column.name) return h("td", {});
    if (!column.sort) return h("th", { scope: "col", class: column.look }, column.name);
    const active = settings.sort === column.sort;
    const order = active ? (settings.order === "down" ? "up" : "down") : (column.first ?? "down");
    const arrow = active ? (settings.order === "down" ? " ↓" : " ↑") : "";
    return h(
      "th",
      { scope: "col", class: column.look, "aria-sort": active ? (settings.order === "down" ? "descending" : "ascending") : null },
      h("button", { type: "button", class: "sort", "data-key": `sort ${column.sort}`, on: { click: () => change({ sort: column.sort, order, page: null }) } }, column.name, arrow),
    );
  });
  const body = rows.map((row) => h("tr", {}, columns.map((column) => h(column.head ? "th" : "td", { scope: column.head ? "row" : null, class: column.look, "data-name": column.name || column.label }, column.cell(row)))));
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "group", "aria-label": caption },
    h(
      "table",
      { class: `list ${look}`.trim() },
      h("caption", { class: "hidden" }, caption),
      h("thead", {}, h("tr", {}, heads)),
      h("tbody", {}, body.length ? body : h("tr", {}, h("td", { colspan: columns.length, class: "muted" }, "Nothing here."))),
    ),
  );
}

export function pages({ page, size, matched }, change) {
  const last = Math.max(1, Math.ceil(matched / size));
  const turn = (label, target, off) =>
    // Not disabled, which would lose the focus to nowhere.
    h("button", { type: "button", "aria-disabled": off ? "true" : null, on: { click: () => off || change({ page: target }) } }, label);
  return h(
    "nav",
    { class: "pages", "aria-label": "Pages" },
    turn("First", 1, page <= 1),
    turn("Previous", page - 1, page <= 1),
    h("span", {}, `page ${count(page)} of ${count(last)}`),
    turn("Next", page + 1, page >= last),
    turn("Last", last, page >= last),
  );
}

// A field whose change is reported when no key was pressed for a moment.
export function search(value, change, label = "Search", placeholder = "id, question or answer") {
  let waiting = 0;
  const field = h("input", {
    type: "search",
    value,
    placeholder,
    "aria-label": label,
    "data-hotkey": "/",
    "data-key": label,
    on: {
      input: () => {
        clearTimeout(waiting);
        waiting = setTimeout(() => change(field.value), 200);
      },
    },
  });
  return field;
}

export function choice(label, options, value, change) {
  const select = h(
    "select",
    { on: { change: () => change(select.value) } },
    options.map(([name, words]) => h("option", { value: name, selected: name === value }, words)),
  );
  return h("label", {}, label, " ", select);
}
