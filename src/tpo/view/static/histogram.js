// How many queries gained how much; a bar leads to its queries.

import { MARGIN, axes, canvas, figure, leading, linear, roving, ticks, tidy } from "./chart.js";
import { svg } from "./dom.js";
import { count } from "./format.js";

// `data`: { edges, counts }. `addressOf` gives the address of the queries between two edges.
export function histogram(data, { title, xName, height = 270, addressOf = null, note = null, foot = null }) {
  const rows = data.counts.map((n, at) => [tidy(data.edges[at]), tidy(data.edges[at + 1]), n]).filter((row) => row[2]);
  const table = { head: ["from", "to", "queries"], rows };
  const draw = (width, tall) => {
    const most = Math.max(...data.counts, 1);
    const yDomain = [0, most * 1.05];
    const y = linear(yDomain, [tall - MARGIN.bottom, MARGIN.top]);
    const domain = [data.edges[0], data.edges.at(-1)];
    const x = linear(domain, [MARGIN.left, width - MARGIN.right]);
    const total = data.counts.reduce((sum, n) => sum + n, 0);
    const node = canvas(width, tall, title, `${count(total)} queries from ${tidy(domain[0])} to ${tidy(domain[1])}.`, addressOf ? "group" : "img");
    const leads = [];
    axes(node, { width, height: tall, y, yDomain, x, xTicks: ticks(...domain, width / 90), xName, yName: "queries", whole: true });
    data.counts.forEach((n, at) => {
      const [low, high] = [data.edges[at], data.edges[at + 1]];
      const sign = low >= 0 ? (low === 0 ? "first" : "up") : "down";
      const bar = svg(
        "rect",
        { class: `bar ${sign}`, x: x(low) + 0.75, width: Math.max(1, x(high) - x(low) - 1.5), y: y(n), height: y(0) - y(n) },
        svg("title", {}, `${tidy(low)} to ${tidy(high)}: ${count(n)} queries`),
      );
      if (addressOf && n) {
        bar.classList.add("pick");
        leads.push(leading(bar, addressOf(low, high), `${tidy(low)} to ${tidy(high)}: ${count(n)} queries`));
        node.append(leads.at(-1));
      } else node.append(bar);
    });
    if (domain[0] < 0 && domain[1] > 0) {
      node.append(svg("line", { class: "zero", x1: x(0), x2: x(0), y1: MARGIN.top, y2: tall - MARGIN.bottom }));
    }
    roving(leads);
    return node;
  };
  return figure(title, draw, { height, table, note, foot });
}
