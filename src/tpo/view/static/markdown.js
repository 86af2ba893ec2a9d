// Markdown as nodes: Marked finds what is a heading, a list, a table; the nodes are made here, and hold text alone.
// Links and images are words with their address beside them: nothing is fetched, and nothing leads away.

import { coloured } from "./code.js";
import { h } from "./dom.js";
import { formula } from "./maths.js";
import * as marked from "./vendor/marked.js";

// Longer texts are shown as they are.
const LONGEST_TEXT = 200_000;
const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", hellip: "…", ndash: "–", mdash: "—", copy: "©", times: "×", deg: "°" };

const BLOCK = [/^\$\$([^]+?)\$\$[ \t]*(?:\n|$)/, /^\\\[([^]+?)\\\][ \t]*(?:\n|$)/, /^(\\begin\{(equation|align|gather|cases|pmatrix|bmatrix|matrix|array|multline)(\*?)\}[^]+?\\end\{\2\3\})[ \t]*(?:\n|$)/];
const INLINE = [[/^\$\$([^$]+?)\$\$/, true], [/^\\\[([^]+?)\\\]/, true], [/^\\\(([^]+?)\\\)/, false], [/^\$(?![\s$])((?:\\[^\n]|[^$\\\n])+?)(?<!\s)\$(?![\d\p{L}])/u, false]];

const parser = new marked.Marked({
  extensions: [
    {
      name: "formulaBlock",
      level: "block",
      start: (text) => text.match(/^(\$\$|\\\[|\\begin\{)/m)?.index,
      tokenizer(text) {
        for (const pattern of BLOCK) {
          const match = pattern.exec(text);
          if (match) return { type: "formula", raw: match[0], tex: match[1], display: true };
        }
        return undefined;
      },
    },
    {
      name: "formulaInline",
      level: "inline",
      start: (text) => text.match(/\$|\\[([]/)?.index,
      tokenizer(text) {
        for (const [pattern, display] of INLINE) {
          const match = pattern.exec(text);
          if (match) return { type: "formula", raw: match[0], tex: match[1], display };
        }
        return undefined;
      },
    },
  ],
});

// The level of the last heading.
let level = 2;

// The nodes of a text; the text itself where it cannot be read as Markdown.
export function markdown(text) {
  if (text.length > LONGEST_TEXT) return [text];
  level = 2;
  try {
    return blocks(parser.lexer(text));
  } catch {
    return [text]; // nested too deeply
  }
}

function blocks(tokens) {
  return tokens.map(block);
}

function block(token) {
  switch (token.type) {
    case "space":
    case "def":
      return token.type === "def" ? h("p", {}, token.raw.trim()) : null;
    case "heading":
      // Below the page's own headings, and no level is left out.
      level = Math.min(6, token.depth + 2, level + 1);
      return h("p", { class: `heading-${token.depth}`, role: "heading", "aria-level": level }, inlines(token.tokens));
    case "paragraph":
      return h("p", { dir: "auto" }, inlines(token.tokens));
    case "text":
      return token.tokens ? inlines(token.tokens) : decoded(token.text);
    case "blockquote":
      return h("blockquote", {}, blocks(token.tokens));
    case "hr":
      return h("hr", {});
    case "code":
      return h("pre", { tabindex: 0, role: "group", "aria-label": `Code${token.lang ? `, ${token.lang}` : ""}` }, h("code", {}, coloured(token.text, token.lang?.split(/\s/)[0])));
    case "list":
      return h(token.ordered ? "ol" : "ul", { start: token.ordered && token.start !== 1 ? token.start : null }, token.items.map(item));
    case "table":
      return grid_(token);
    case "formula":
      return formula(token.tex, token.display);
    case "html":
      return h("p", { class: "markup" }, token.raw.replace(/\n+$/, ""));
    default:
      return inline(token);
  }
}

function item(token) {
  const parts = token.loose ? blocks(token.tokens) : token.tokens.map((inner) => (inner.type === "paragraph" ? inlines(inner.tokens) : block(inner)));
  return h("li", { dir: "auto" }, parts);
}

function grid_(token) {
  const cell = (tag) => (one) => h(tag, { class: one.align ? `to-${one.align}` : null, scope: tag === "th" ? "col" : null, dir: "auto" }, inlines(one.tokens));
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "group", "aria-label": "Table" },
    h("table", {}, h("thead", {}, h("tr", {}, token.header.map(cell("th")))), h("tbody", {}, token.rows.map((row) => h("tr", {}, row.map(cell("td")))))),
  );
}

function inlines(tokens) {
  return (tokens ?? []).map(inline);
}

function inline(token) {
  switch (token.type) {
    case "strong":
    case "em":
    case "del":
      return h(token.type === "del" ? "s" : token.type, {}, inlines(token.tokens));
    case "codespan":
      return h("code", {}, token.text);
    case "br":
      return h("br", {});
    case "link":
      return token.text === token.href || `mailto:${token.text}` === token.href
        ? h("span", { class: "address" }, token.text)
        : [h("span", { class: "link" }, inlines(token.tokens)), " ", h("span", { class: "address" }, `(${token.href})`)];
    case "image":
      return [h("span", { class: "link" }, `[image${token.text ? `: ${token.text}` : ""}]`), " ", h("span", { class: "address" }, `(${token.href})`)];
    case "formula":
      return formula(token.tex, token.display);
    case "checkbox":
      return h("span", { role: "img", "aria-label": token.checked ? "done" : "to do" }, token.checked ? "☑ " : "☐ ");
    case "escape":
      return token.text;
    case "html":
      return token.raw;
    case "text":
      return token.tokens ? inlines(token.tokens) : decoded(token.text);
    default:
      return token.raw ?? "";
  }
}

function decoded(text) {
  return text.replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|(\w{2,8}));/gi, (whole, decimal, hex, name) => {
    if (name) return Object.hasOwn(ENTITIES, name) ? ENTITIES[name] : whole;
    const point = decimal ? Number(decimal) : Number.parseInt(hex, 16);
    return point > 0 && point <= 0x10ffff ? String.fromCodePoint(point) : whole;
  });
}
