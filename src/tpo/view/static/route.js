// The address after the #: a room of the page and its settings.

// What a list of queries has in force; a query's address has it too, so that one can go on and back.
export const LIST = ["over", "sort", "order", "show", "search", "low", "high", "step", "page"];

export function here() {
  const [room, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { room, settings: Object.fromEntries(new URLSearchParams(query)) };
}

export function to(room, settings = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(settings)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, value);
  }
  const text = query.toString();
  return `#/${room}${text ? `?${text}` : ""}`;
}

export function go(room, settings = {}, { replace = false } = {}) {
  if (replace) {
    history.replaceState(history.state, "", to(room, settings));
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else location.hash = to(room, settings);
}

export function only(settings, names) {
  return Object.fromEntries(names.filter((name) => settings[name] !== undefined).map((name) => [name, settings[name]]));
}
