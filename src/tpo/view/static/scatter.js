// Two numbers of each query against each other; a dot leads to its query.

import { MARGIN, axes, canvas, figure, leading, linear, padded, roving, ticks } from "./chart.js";
import { h, svg } from "./dom.js";
import { count, estimate, number, percent, plural, signed } from "./format.js";

// Above so many dots they are paler, so that where they are dense can be seen.
const MANY = 400;

// `data`: { row, x, y, of }; `addressOf` gives the address of the query in a row; `trend`: means with their intervals.
export function scatter(data, { title, xName, yName, foot, table = null, zero = false, addressOf = null, trend = [], height = 270 }) {
  const draw = (width, tall) => {
    const [xDomain, yDomain] = [padded(zero ? [...data.x, 0] : data.x), padded([...data.y, ...trend.map((one) => one.value), ...(zero ? [0] : [])])];
    const x = linear(xDomain, [MARGIN.left, width - MARGIN.right]);
    const y = linear(yDomain, [tall - MARGIN.bottom, MARGIN.top]);
    const node = canvas(width, tall, title, foot, addressOf ? "group" : "img");
    axes(node, { width, height: tall, y, yDomain, x, xTicks: ticks(...xDomain, width / 90), xName, yName });
    if (zero) {
      node.append(
        svg("line", { class: "zero", x1: x(0), x2: x(0), y1: MARGIN.top, y2: tall - MARGIN.bottom }),
        svg("line", { class: "zero", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(0), y2: y(0) }),
      );
    }
    const many = data.x.length > MANY;
    const marks = data.x.map((value, at) => {
      const mark = svg("circle", { class: many ? "point faint" : "point", cx: x(value), cy: y(data.y[at]), r: many ? 2.5 : 3.5 });
      return addressOf ? leading(mark, addressOf(data.row[at]), `Row ${data.row[at]}: ${xName} ${number(value, 1)}, ${yName} ${number(data.y[at])}`) : mark;
    });
    node.append(...marks, ...trendOf(trend, x, y));
    if (addressOf) roving(marks);
    return node;
  };
  const note = data.x.length < data.of ? `${count(data.x.length)} of ${count(data.of)} queries` : null;
  return figure(title, draw, { height, table, note, foot: h("p", { class: "muted" }, foot) });
}

function trendOf(trend, x, y) {
  const places = trend.map((one) => `${x(one.x)} ${y(one.value)}`);
  const reach = (one) => (one.low === null ? null : svg("path", { class: "whisker second", d: `M${x(one.x)} ${y(one.low)}V${y(one.high)}` }));
  const marks = trend.map((one) => svg("circle", { class: "mark second", cx: x(one.x), cy: y(one.value), r: 4 }));
  return places.length ? [svg("path", { class: "curve second", d: `M${places.join("L")}` }), ...trend.map(reach).filter(Boolean), ...marks] : [];
}

function correlation(data) {
  return data.correlation === null ? "none, since all are alike or too few" : `${number(data.correlation, 2)} over ${plural(data.correlated, "query", "queries")}`;
}

export function lengthChart(data, addressOf) {
  const table = {
    head: ["answers", "share", "mean gain"],
    rows: [
      ["longer than the first sample", percent(data.longer), signed(data.gain_longer)],
      ["not longer", percent(1 - data.longer), signed(data.gain_not_longer)],
    ],
  };
  const foot =
    `${percent(data.longer)} of the answers are longer than the first sample and ${percent(data.shorter)} are shorter. ` +
    `Rank correlation of gain and length: ${correlation(data)}${data.correlated < data.of ? " whose length changed" : ""}. ` +
    `Mean gain ${signed(data.gain_longer)} where the answer is longer, ${signed(data.gain_not_longer)} where it is not.`;
  return scatter(data, { title: "Is it only longer?", xName: "change in characters", yName: "gain", foot, table, zero: true, addressOf });
}

export function costChart(data, addressOf) {
  const foot = `Rank correlation of tokens and reward: ${correlation(data)}.`;
  return scatter(data, { title: "Cost and reward", xName: "tokens of all roles", yName: "reward", foot, addressOf });
}

// Whether what the search optimised is a gain for a judge that chose nothing.
export function judgeChart(data, addressOf) {
  const table = { head: ["queries by gain in reward", "mean gain in reward", "mean gain by the judge"], rows: data.groups.map((one, at) => [`group ${at + 1}`, signed(one.x), estimate(one)]) };
  const foot =
    `Reward and judge both rise for ${percent(data.both)} of the queries; for ${percent(data.apart)} the reward rises and the judge falls. ` +
    `Rank correlation of both gains: ${correlation(data)}. ${data.groups.length ? "The line has the means of queries with a similar gain in reward, with 95 % intervals. " : ""}` +
    "A line that falls to the right means that the search exploits the reward.";
  return scatter(data, { title: "Reward and held-out judge", xName: "gain in reward", yName: "gain by the judge", foot, table: data.groups.length ? table : null, zero: true, addressOf, trend: data.groups });
}
