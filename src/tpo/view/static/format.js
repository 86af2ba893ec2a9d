// Numbers as people read them.

export const MISSING = "–";

export function number(value, digits = 3) {
  if (value === null || value === undefined) return MISSING;
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 10 ** -digits / 2)) return value.toExponential(1).replace("-", "−");
  const places = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : digits;
  return value.toFixed(Math.min(places, digits)).replace("-", "−");
}

export function signed(value, digits = 3) {
  if (value === null || value === undefined) return MISSING;
  const shown = number(value, digits);
  return value > 0 ? `+${shown}` : shown;
}

export function count(value) {
  return value === null || value === undefined ? MISSING : Math.round(value).toLocaleString("en-US").replaceAll(",", " ");
}

export function percent(value) {
  return value === null || value === undefined ? MISSING : `${(100 * value).toFixed(value > 0 && value < 0.1 ? 1 : 0)} %`;
}

export function estimate(value, digits = 3) {
  if (value && value.low === null) return number(value.value, digits);
  return value ? `${number(value.value, digits)} [${number(value.low, digits)}, ${number(value.high, digits)}]` : MISSING;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return MISSING;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

// The time here, with its zone.
export function moment(iso) {
  const time = new Date(iso ?? NaN);
  if (Number.isNaN(time.getTime())) return MISSING;
  return time.toLocaleString("en-GB", { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short" });
}

export function plural(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

export function oneLine(text, limit = 160) {
  const flat = (text ?? "").slice(0, 4 * limit).split(/\s+/).filter(Boolean).join(" ");
  return flat.length <= limit ? flat : `${flat.slice(0, limit - 1)}…`;
}

export function dials(plan) {
  if (!plan) return "";
  if (plan.method === "sample") return "sample";
  const depth = plan.method === "best-of-n" ? "" : ` · D ${plan.depth}`;
  return `${plan.method} · N ${plan.width}${depth}`;
}

// Why a search ended: the name of its stop, or words where that alone says too little.
export function ended(stop) {
  return `ended: ${stop === "context" ? "the next prompt does not fit the model's context" : stop}`;
}
