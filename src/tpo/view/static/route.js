// Where one is on the page: a room and its settings, all of it in the address after the #.

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
    history.replaceState(null, "", to(room, settings));
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else location.hash = to(room, settings);
}
