// Program text in colours: comments, strings, numbers and keywords, by rules that most languages share.

import { h } from "./dom.js";

const KEYWORDS = new Set(
  (
    "abstract and as assert async await begin bool boolean break case catch char class const constexpr continue def default defer del do done double elif else end enum except export extends " +
    "extern false False fi final finally float fn for from func function global go goto if impl implements import in include inline int interface is lambda let long loop match mod module mut namespace new nil " +
    "None nonlocal not null or override package pass private protected pub public raise return self short signed sizeof static string struct super switch template then this throw trait true True try type " +
    "typedef typeof undefined union unless unsafe unsigned until use using val var virtual void volatile when where while with yield " +
    "SELECT FROM WHERE INSERT INTO UPDATE DELETE JOIN LEFT RIGHT INNER OUTER ON GROUP BY ORDER LIMIT CREATE TABLE VALUES SET AND OR NOT NULL AS DISTINCT HAVING UNION"
  ).split(" "),
);
const HASHES = /^(py|python|rb|ruby|sh|bash|zsh|shell|console|yaml|yml|toml|r|perl|make|makefile|dockerfile|elixir|julia|jl|ini|conf)$/i;
const DASHES = /^(sql|lua|haskell|hs|ada|elm)$/i;
const PLAIN = /^(text|txt|plain|plaintext|output|log|markdown|md)$/i;
// Longer than this, colours would take longer to make than to read.
const LONGEST_CODE = 50_000;

function rule(language) {
  const comments = [String.raw`\/\*[^]*?(?:\*\/|$)`];
  if (DASHES.test(language)) comments.push("--[^\n]*");
  else if (HASHES.test(language)) comments.push("#[^\n]*");
  else comments.push(String.raw`(?<!:)\/\/[^\n]*`);
  const strings = [
    '"""[^]*?(?:"""|$)', "'''[^]*?(?:'''|$)",
    String.raw`"(?:\\.|[^"\\\n])*"`, String.raw`'(?:\\.|[^'\\\n])*'`, "`(?:\\\\.|[^`\\\\])*`",
  ];
  const number_ = String.raw`\b(?:0[xXbBoO][\da-fA-F_]+|\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?)\b`;
  return new RegExp(`(?<comment>${comments.join("|")})|(?<string>${strings.join("|")})|(?<number>${number_})|(?<word>[\\p{L}_][\\p{L}\\p{N}_]*)`, "gu");
}

// The nodes of a program text.
export function coloured(text, language = "") {
  if (text.length > LONGEST_CODE || PLAIN.test(language)) return [text];
  const nodes = [];
  let at = 0;
  for (const match of text.matchAll(rule(language))) {
    const { comment, string, number: digits, word } = match.groups;
    const kind = comment !== undefined ? "comment" : string !== undefined ? "string" : digits !== undefined ? "number" : KEYWORDS.has(word) ? "keyword" : null;
    if (!kind) continue;
    if (match.index > at) nodes.push(text.slice(at, match.index));
    nodes.push(h("span", { class: `code-${kind}` }, match[0]));
    at = match.index + match[0].length;
  }
  nodes.push(text.slice(at));
  return nodes;
}
