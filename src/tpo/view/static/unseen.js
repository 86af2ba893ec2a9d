// Characters without a shape of their own, which can hide or reorder the words of a text: they are shown as marks.

const SCRIPTS = ["Arabic", "Syriac", "Devanagari", "Bengali", "Gurmukhi", "Gujarati", "Oriya", "Tamil", "Telugu", "Kannada", "Malayalam", "Sinhala", "Khmer", "Myanmar", "Mongolian"];
const JOINED = `[${SCRIPTS.map((name) => `\\p{Script=${name}}`).join("")}\\p{M}]`;
// Joiners within words and emoji, and the tags of a flag, belong to the writing.
const KEPT = [
  String.raw`(?<=[\p{Extended_Pictographic}\ufe0f\u{1f3fb}-\u{1f3ff}])\u200d(?=\p{Extended_Pictographic}|[\u2640\u2642])`,
  `(?<=${JOINED})[\\u200c\\u200d](?=${JOINED})`,
  String.raw`\u{1f3f4}[\u{e0020}-\u{e007e}]+\u{e007f}`,
];
const HIDDEN = String.raw`[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\u{e0000}-\u{e007f}]`;
const UNSEEN = new RegExp(`${KEPT.join("|")}|(?<hidden>${HIDDEN})\\k<hidden>*`, "gu");
const ANY = new RegExp(HIDDEN, "u");

const NAMES = {
  0x00ad: "soft hyphen", 0x061c: "Arabic letter mark", 0x200b: "zero width space", 0x200c: "zero width non-joiner",
  0x200d: "zero width joiner", 0x200e: "left-to-right mark", 0x200f: "right-to-left mark", 0x2028: "line separator",
  0x2029: "paragraph separator", 0x202a: "left-to-right embedding", 0x202b: "right-to-left embedding",
  0x202c: "end of direction", 0x202d: "left-to-right override", 0x202e: "right-to-left override", 0x2060: "word joiner",
  0x2066: "left-to-right isolate", 0x2067: "right-to-left isolate", 0x2068: "isolate", 0x2069: "end of isolate",
  0xfeff: "byte order mark",
};

// A text as parts: strings, and { code, name } for characters that nobody would see.
export function partsOf(text) {
  if (!ANY.test(text)) return [text];
  const parts = [];
  let at = 0;
  for (const match of text.matchAll(UNSEEN)) {
    const { hidden } = match.groups;
    if (hidden === undefined) continue;
    if (match.index > at) parts.push(text.slice(at, match.index));
    const point = hidden.codePointAt(0);
    const times = match[0].length / hidden.length;
    const code = `U+${point.toString(16).toUpperCase().padStart(4, "0")}`;
    parts.push({ code: times > 1 ? `${code} ×${times}` : code, name: NAMES[point] ?? "a character without a shape" });
    at = match.index + match[0].length;
  }
  if (at < text.length) parts.push(text.slice(at));
  return parts;
}
