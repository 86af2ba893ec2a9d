// Which control has the focus, in terms that outlive a redraw; and where one was in each entry of the history.

const KEY_PLACES = "tpo-places";
const KEPT_PLACES = 100;

// A control by what it is called: its key, its target, its label or its words, and which one of those that share it.
function markOf(node) {
  if (!node || node === document.body || node.id === "main" || node.tagName === "H1") return null;
  const mark = { tag: node.tagName.toLowerCase(), name: nameOf(node) };
  mark.at = alike(document, mark).indexOf(node);
  if (typeof node.selectionStart === "number") mark.selection = [node.selectionStart, node.selectionEnd];
  return mark.at < 0 ? null : mark;
}

function nameOf(node) {
  return node.dataset?.key ?? node.getAttribute("href") ?? node.getAttribute("aria-label") ?? (node.id || node.textContent.slice(0, 80));
}

function alike(within, mark) {
  return [...within.querySelectorAll(mark.tag)].filter((node) => nameOf(node) === mark.name);
}

function refocus(mark) {
  if (!mark) return false;
  const found = alike(document, mark);
  const node = found[mark.at] ?? found[0];
  if (!node) return false;
  node.focus({ preventScroll: true });
  if (mark.selection && node.setSelectionRange && /^(text|search|textarea)$/.test(node.type)) node.setSelectionRange(...mark.selection);
  return true;
}

// Redraw a part of the page, and give the focus back to what had it.
export async function keepingFocus(redraw) {
  const active = document.activeElement;
  const mark = markOf(active);
  await redraw();
  if (!active?.isConnected) refocus(mark);
}

let places = read();
let entry = null;

function read() {
  try {
    return new Map(JSON.parse(sessionStorage.getItem(KEY_PLACES) ?? "[]"));
  } catch {
    return new Map();
  }
}

function record() {
  if (entry === null) return;
  places.delete(entry);
  places.set(entry, { y: scrollY, focus: markOf(document.activeElement) });
  while (places.size > KEPT_PLACES) places.delete(places.keys().next().value);
}

// What is drawn from here on is another entry of the history: its scroll is not that of the last one.
export function leavePlace() {
  entry = null;
}

// The entry is drawn. One that was here before gets its scroll and focus back; returns whether it was.
export function arrivePlace() {
  const known = history.state?.entry;
  const place = places.get(known);
  const mine = known ?? crypto.getRandomValues(new Uint32Array(2)).join("-");
  if (known === undefined) history.replaceState({ entry: mine }, "");
  if (place) {
    scrollTo(0, place.y);
    refocus(place.focus);
    // Charts take their places a frame later.
    requestAnimationFrame(() => requestAnimationFrame(() => scrollTo(0, place.y)));
  }
  entry = mine;
  return place !== undefined;
}

export function watchPlaces() {
  history.scrollRestoration = "manual";
  addEventListener("scroll", record, { passive: true });
  document.addEventListener("focusin", record);
  addEventListener("pagehide", () => {
    record();
    sessionStorage.setItem(KEY_PLACES, JSON.stringify([...places]));
  });
}
