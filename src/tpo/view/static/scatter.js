// Gain against the change in length: is a better answer only a longer one?

import { MARGIN, axes, canvas, figure, linear, padded, ticks } from "./chart.js";
import { h, svg } from "./dom.js";
import { MISSING, count, number, percent, signed } from "./format.js";

// Above so many dots they are paler, so that where they are dense can be seen.
const MANY = 400;

export function scatter(data, { title, onPick = null, height = 270 }) {
  const kinds = [
    ["longer than the first sample", percent(data.longer), signed(data.gain_longer)],
    ["not longer", percent(1 - data.longer), signed(data.gain_not_longer)],
  ];
  const table = { head: ["answers", "share", "mean gain"], rows: kinds };
  const draw = (width, tall) => {
    const xDomain = padded([...data.length, 0]);
    const yDomain = padded([...data.gain, 0]);
    const x = linear(xDomain, [MARGIN.left, width - MARGIN.right]);
    const y = linear(yDomain, [tall - MARGIN.bottom, MARGIN.top]);
    const node = canvas(width, tall, title, sentence(data));
    axes(node, {
      width, height: tall, y, yDomain, x, xTicks: ticks(...xDomain, width / 90), xName: "change in characters", yName: "gain",
    });
    node.append(
      svg("line", { class: "zero", x1: x(0), x2: x(0), y1: MARGIN.top, y2: tall - MARGIN.bottom }),
      svg("line", { class: "zero", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(0), y2: y(0) }),
    );
    const look = data.length.length > MANY ? "point faint" : "point";
    data.length.forEach((length, at) => {
      const point = svg("circle", { class: look, cx: x(length), cy: y(data.gain[at]), r: data.length.length > MANY ? 2 : 3.5 });
      if (onPick) point.addEventListener("click", () => onPick(at));
      node.append(point);
    });
    return node;
  };
  const shown = data.length.length < data.of ? `${count(data.length.length)} of ${count(data.of)} queries` : null;
  return figure(title, draw, { height, table, note: shown, foot: h("p", { class: "muted" }, sentence(data)) });
}

function sentence(data) {
  const rank = data.correlation === null ? MISSING : number(data.correlation, 2);
  return (
    `${percent(data.longer)} of the answers are longer than the first sample and ${percent(data.shorter)} are shorter. ` +
    `Rank correlation of gain and length: ${rank}. ` +
    `Mean gain ${signed(data.gain_longer)} where the answer is longer, ${signed(data.gain_not_longer)} where it is not.`
  );
}
