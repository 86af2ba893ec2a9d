// Means by step with their 95 % intervals.

import { MARGIN, axes, canvas, figure, leading, linear, padded, roving } from "./chart.js";
import { svg } from "./dom.js";
import { estimate } from "./format.js";

// `series`: [{ name, look, points: [{ x, value, low, high }] }]; `level`: { name, value } is drawn as a dashed line.
// `leadOf` gives a step's address and label: the first series' dots lead there.
export function lines(title, series, { level = null, leadOf = null, yName = "reward", height = 270, note = null, foot = null } = {}) {
  const steps = [...new Set(series.flatMap((one) => one.points.map((point) => point.x)))].sort((a, b) => a - b);
  const at = (one, step) => estimate(one.points.find((point) => point.x === step));
  const table = {
    head: ["step", ...series.map((one) => one.name)],
    rows: steps.map((step) => [step, ...series.map((one) => at(one, step))]),
  };
  const draw = (width, tall) => {
    const points = series.flatMap((one) => one.points);
    const values = points.flatMap((point) => [point.low ?? point.value, point.high ?? point.value]);
    if (level) values.push(level.value);
    const yDomain = padded(values);
    const y = linear(yDomain, [tall - MARGIN.bottom, MARGIN.top]);
    const room = 0.25;
    const x = linear([steps[0] - room, steps.at(-1) + room], [MARGIN.left, width - MARGIN.right]);
    const summary = series.map((one) => `${one.name}: ${one.points.map((p) => p.value.toPrecision(3)).join(", ")}`);
    const node = canvas(width, tall, title, `${summary.join(". ")}.`, leadOf ? "group" : "img");
    const leads = [];
    const every = Math.ceil(steps.length / Math.floor(width / 44));
    const xTicks = steps.filter((_, place) => place % every === 0);
    axes(node, { width, height: tall, y, yDomain, x, xTicks, xName: "step", yName });
    if (level) {
      const height_ = y(level.value);
      node.append(
        svg("line", { class: "level", x1: MARGIN.left, x2: width - MARGIN.right, y1: height_, y2: height_ }),
        svg("text", { class: "tick", x: width - MARGIN.right, y: height_ - 5, "text-anchor": "end" }, level.name),
      );
    }
    series.forEach((one, place) => {
      const lead = place === 0 ? leadOf : null;
      const drawn = curve(one, x, y, lead);
      if (lead) leads.push(...drawn.filter((mark) => mark.tagName === "a"));
      node.append(...drawn);
    });
    roving(leads);
    return node;
  };
  return figure(title, draw, { height, table, note, foot });
}

function curve(one, x, y, leadOf) {
  const path = one.points.map((point, at) => `${at ? "L" : "M"}${x(point.x)} ${y(point.value)}`).join("");
  const whiskers = one.points.filter((point) => point.low !== null).map((point) =>
    svg("path", {
      class: `whisker ${one.look}`,
      d: `M${x(point.x)} ${y(point.low)}V${y(point.high)}M${x(point.x) - 4} ${y(point.low)}h8M${x(point.x) - 4} ${y(point.high)}h8`,
    }),
  );
  const marks = one.points.map((point) => {
    const words = `${one.name}, step ${point.x}: ${estimate(point)}`;
    const mark = svg("circle", { class: `mark ${one.look}`, cx: x(point.x), cy: y(point.value), r: 4 }, svg("title", {}, words));
    const [address, label] = leadOf?.(point.x) ?? [];
    return address ? leading(mark, address, `${words}; ${label}`) : mark;
  });
  return [svg("path", { class: `curve ${one.look}`, d: path }), ...whiskers, ...marks];
}
