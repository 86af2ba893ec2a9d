// How the gain is distributed after each step: its median, and where the middle half and most queries are.

import { MARGIN, axes, canvas, figure, leading, linear, padded, roving } from "./chart.js";
import { svg } from "./dom.js";
import { count, signed } from "./format.js";

// `steps`: [{ step, queries, quantiles: [10 %, 25 %, 50 %, 75 %, 90 %], found }]; `leadOf` gives a step's address and label.
export function spread(steps, { title, leadOf, height = 270 }) {
  const rows = steps.map((one) => [one.step, count(one.queries), ...one.quantiles.map((value) => signed(value)), count(one.found)]);
  const table = { head: ["step", "queries", "10 %", "25 %", "median", "75 %", "90 %", "answers found here"], rows };
  const draw = (width, tall) => {
    const yDomain = padded([...steps.flatMap((one) => one.quantiles), 0]);
    const y = linear(yDomain, [tall - MARGIN.bottom, MARGIN.top]);
    const band = (width - MARGIN.left - MARGIN.right) / steps.length;
    const middle = (at) => MARGIN.left + band * (at + 0.5);
    const node = canvas(width, tall, title, steps.map((one) => `Step ${one.step}: median ${signed(one.quantiles[2])}`).join(". "), "group");
    axes(node, { width, height: tall, y, yDomain, yName: "gain so far", xName: "step" });
    node.append(svg("line", { class: "zero", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(0), y2: y(0) }));
    const half = Math.min(22, band / 3);
    const leads = steps.map((one, at) => {
      const [least, low, median, high, most] = one.quantiles.map(y);
      const x = middle(at);
      const box = svg(
        "g",
        { class: "box" },
        svg("path", { class: "reach", d: `M${x} ${least}V${low}M${x} ${high}V${most}M${x - 5} ${least}h10M${x - 5} ${most}h10` }),
        svg("rect", { class: "half", x: x - half, y: high, width: 2 * half, height: Math.max(1, low - high) }),
        svg("path", { class: "median", d: `M${x - half} ${median}h${2 * half}` }),
        svg("title", {}, `Step ${one.step}: median ${signed(one.quantiles[2])}`),
      );
      const [address, label] = leadOf(one.step);
      node.append(svg("text", { class: "tick", x, y: tall - MARGIN.bottom + 16, "text-anchor": "middle" }, one.step));
      return leading(box, address, `Step ${one.step}: median gain ${signed(one.quantiles[2])}; ${label}`);
    });
    node.append(...leads);
    roving(leads);
    return node;
  };
  return figure(title, draw, { height, table, note: "median, middle half, and 10 % to 90 %" });
}
