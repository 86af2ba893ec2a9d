// Requests to the page's server. Addresses are relative, so that the page may be mounted anywhere.

// The key that was typed in for a server that needs one (401); it is kept for this tab alone.
const KEY = "tpo-key";

export function headers() {
  const key = sessionStorage.getItem(KEY);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

export function remember(key) {
  sessionStorage.setItem(KEY, key);
}

export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export function address(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value === null || value === undefined || value === "") continue;
    for (const one of Array.isArray(value) ? value : [value]) query.append(name, one);
  }
  const text = query.toString();
  return `api/${path}${text ? `?${text}` : ""}`;
}

export async function ask(path, parameters = {}, signal = undefined) {
  let response;
  try {
    response = await fetch(address(path, parameters), { headers: headers(), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The server does not answer: is it still running?", 0);
  }
  if (!response.ok) throw await refusal(response);
  return response.json();
}

export async function refusal(response) {
  const text = await response.text();
  let message = text.trim();
  try {
    const { error } = JSON.parse(text);
    message = error?.message ?? error ?? message;
  } catch {
    // It is no JSON: its text is the message.
  }
  return new Refused(message || `The server answered ${response.status}.`, response.status);
}

// Server-sent events of a POST, which the browser's own EventSource cannot make.
export async function* events(path, body, signal) {
  const response = await fetch(address(path), {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers() },
    body: JSON.stringify(body),
    signal,
  });
  if (!response.ok) throw await refusal(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    const messages = held.split("\n\n");
    held = messages.pop();
    for (const message of messages) {
      const field = (name) => message.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      if (field("data")) yield { name: field("event"), data: JSON.parse(field("data")) };
    }
  }
}

// A file whose address needs a key is fetched first, and then saved.
export async function download(path, parameters, name) {
  const response = await fetch(address(path, parameters), { headers: headers() });
  if (!response.ok) throw await refusal(response);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = /filename="([^"]+)"/.exec(response.headers.get("content-disposition") ?? "")?.[1] ?? name;
  link.click();
  URL.revokeObjectURL(link.href);
}
