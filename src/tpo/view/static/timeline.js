// When each call was made, how long it waited and how long it took.

import { MARGIN, canvas, figure, linear, ticks, tidy } from "./chart.js";
import { svg } from "./dom.js";
import { number } from "./format.js";

const ROLES = ["policy", "critic", "editor", "reward", "judge"];
const LANE = 9;
const MOST = 60;

export function timeline(calls) {
  const lanes = laned(calls);
  const height = Math.min(lanes.length, MOST) * LANE + MARGIN.top + MARGIN.bottom;
  const end = Math.max(...calls.map((call) => call.began + call.seconds), 0.001);
  const roles = ROLES.filter((role) => calls.some((call) => call.role === role));
  const seconds = (role) => calls.filter((call) => call.role === role).reduce((sum, call) => sum + call.seconds, 0);
  const table = {
    head: ["role", "calls", "seconds, added up"],
    rows: roles.map((role) => [role, calls.filter((call) => call.role === role).length, number(seconds(role), 1)]),
  };
  const draw = (width, tall) => {
    const x = linear([0, end], [MARGIN.left, width - MARGIN.right]);
    const node = canvas(width, tall, "Calls in time", `${calls.length} calls in ${number(end, 1)} seconds.`);
    for (const tick of ticks(0, end, width / 110)) {
      node.append(
        svg("line", { class: "rule", x1: x(tick), x2: x(tick), y1: MARGIN.top - 6, y2: tall - MARGIN.bottom + 4 }),
        svg("text", { class: "tick", x: x(tick), y: tall - MARGIN.bottom + 18, "text-anchor": x(tick) > width - MARGIN.right - 16 ? "end" : "middle" }, tidy(tick)),
      );
    }
    node.append(svg("text", { class: "name", x: width - MARGIN.right, y: tall - 3, "text-anchor": "end" }, "seconds"));
    lanes.slice(0, MOST).forEach((lane, at) => {
      const y = MARGIN.top + at * LANE;
      for (const call of lane) node.append(...bars(call, x, y));
    });
    return node;
  };
  return figure("Calls in time", draw, { height, table });
}

function bars(call, x, y) {
  const wide = (from, to) => Math.max(1.5, x(to) - x(from));
  const words = `${call.role}: ${number(call.seconds, 2)} s, ${call.tokens} tokens${call.error ? `, ${call.error}` : ""}`;
  const bar = svg(
    "rect",
    { class: `call ${call.role} ${call.error ? "broken" : ""}`, x: x(call.began), y, rx: 1.5, height: LANE - 2, width: wide(call.began, call.began + call.seconds) },
    svg("title", {}, words),
  );
  if (!(call.waited > 0.01)) return [bar];
  const from = Math.max(0, call.began - call.waited);
  return [svg("rect", { class: "wait", x: x(from), y: y + 3, height: LANE - 8, width: wide(from, call.began) }), bar];
}

// Calls that overlap stand one below the other.
function laned(calls) {
  const lanes = [];
  for (const call of [...calls].sort((one, other) => one.began - other.began)) {
    const from = call.began - call.waited;
    const free = lanes.find((lane) => lane.at(-1).began + lane.at(-1).seconds <= from);
    if (free) free.push(call);
    else lanes.push([call]);
  }
  return lanes;
}
