// What all charts share: a frame that follows the width of its column, scales, ticks and axes.

import { fresh, h, svg } from "./dom.js";
import { numbersTable } from "./numbers.js";

// A figure with a caption, a chart, what goes with it (`foot`: a legend, a choice, a sentence) and the same numbers as a
// table for those who cannot see it.
export function figure(title, draw, { height = 260, note = null, table = null, foot = null } = {}) {
  const box = h("div", { class: "chart" });
  box.style.minHeight = `${height}px`; // so that nothing moves when it is drawn
  let drawn = 0;
  new ResizeObserver(() => {
    const width = Math.max(260, Math.floor(box.clientWidth));
    if (width !== drawn) {
      drawn = width;
      box.replaceChildren(draw(width, height));
    }
  }).observe(box);
  return h(
    "figure",
    { class: "figure" },
    h("figcaption", {}, h("strong", {}, title), note ? h("span", { class: "muted" }, note) : null),
    box,
    foot,
    table ? h("details", { class: "numbers" }, h("summary", {}, "As a table"), numbersTable(`${title} as a table`, table.head, table.rows)) : null,
  );
}

export const MARGIN = { top: 26, right: 16, bottom: 34, left: 52 };

// The canvas: named and described for screen readers. What has parts to choose from is a group, and no image.
export function canvas(width, height, title, description, role = "img") {
  const [name, more] = [fresh("title"), fresh("description")];
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width, height, role, "aria-labelledby": `${name} ${more}` },
    svg("title", { id: name }, title),
    svg("desc", { id: more }, description),
  );
}

// A mark that leads to its queries.
export function leading(mark, address, label) {
  return svg("a", { href: address, class: "lead", "aria-label": label }, mark);
}

// Marks that lead somewhere have one stop of the tab key together; arrow keys go from one to the next.
export function roving(marks) {
  marks.forEach((mark, at) => {
    mark.setAttribute("tabindex", at === 0 ? 0 : -1);
    mark.addEventListener("keydown", (event) => {
      const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!move) return;
      event.preventDefault();
      const next = marks[(at + move + marks.length) % marks.length];
      for (const one of marks) one.setAttribute("tabindex", one === next ? 0 : -1);
      next.focus();
    });
  });
}

export function linear([low, high], [from, to]) {
  const span = high - low || 1;
  return (value) => from + ((value - low) / span) * (to - from);
}

// Round numbers from low to high, about so many.
export function ticks(low, high, wanted = 5) {
  if (!(high > low)) return [low];
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k += 1) found.push(k * step);
  return found;
}

// Numbers need a little room around them, and a lone one needs some at all.
export function padded(values, share = 0.06) {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const room = (high - low) * share || Math.abs(high) * 0.1 || 1;
  return [low - room, high + room];
}

export function axes(node, { width, height, y, yDomain, x = null, xTicks = [], xName = "", yName = "", shown, whole = false }) {
  const { top, right, bottom, left } = MARGIN;
  const floor = height - bottom;
  for (const tick of ticks(...yDomain, Math.max(2, Math.floor((floor - top) / 48)))) {
    if (whole && !Number.isInteger(tick)) continue;
    node.append(
      svg("line", { class: "rule", x1: left, x2: width - right, y1: y(tick), y2: y(tick) }),
      svg("text", { class: "tick", x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, tidy(tick)),
    );
  }
  node.append(svg("line", { class: "axis", x1: left, x2: width - right, y1: floor, y2: floor }));
  for (const tick of xTicks) {
    node.append(svg("text", { class: "tick", x: x(tick), y: floor + 16, "text-anchor": "middle" }, (shown ?? tidy)(tick)));
  }
  node.append(
    svg("text", { class: "name", x: width - right, y: height - 3, "text-anchor": "end" }, xName),
    svg("text", { class: "name", x: 2, y: 10 }, yName),
  );
}

export function tidy(value) {
  return String(Number(value.toPrecision(6))).replace("-", "−");
}
