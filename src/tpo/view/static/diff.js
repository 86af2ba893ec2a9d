// What two texts share, word by word: the longest common subsequence of their words.

// Cells of the table; a larger one would take memory and seconds, so longer texts are compared by lines.
const CELLS = 16_000_000;

// A text as words, spaces and marks; put together again they are the text.
export function wordsOf(text) {
  if (typeof Intl !== "undefined" && Intl.Segmenter) {
    return Array.from(new Intl.Segmenter(undefined, { granularity: "word" }).segment(text), (one) => one.segment);
  }
  return text.match(/\s+|[\p{L}\p{N}_'’]+|[^\s\p{L}\p{N}_'’]/gu) ?? [];
}

export function linesOf(text) {
  return text.match(/[^\n]*\n|[^\n]+/g) ?? [];
}

// The way from one list to another: [kind, first, second] with kinds "same", "gone" (only in the first) and "new".
export function compare(one, other) {
  let begin = 0;
  while (begin < one.length && begin < other.length && one[begin] === other[begin]) begin += 1;
  let end = 0;
  while (
    end < one.length - begin &&
    end < other.length - begin &&
    one[one.length - 1 - end] === other[other.length - 1 - end]
  ) {
    end += 1;
  }
  const edits = one.slice(0, begin).map((word) => ["same", word]);
  edits.push(...between(one.slice(begin, one.length - end), other.slice(begin, other.length - end)));
  edits.push(...one.slice(one.length - end).map((word) => ["same", word]));
  return edits;
}

function between(one, other) {
  const rows = one.length;
  const columns = other.length;
  if (!rows || !columns || rows * columns > CELLS) {
    return [...one.map((word) => ["gone", word]), ...other.map((word) => ["new", word])];
  }
  // longest[i, j]: how much the ends of both, from i and from j on, have in common.
  const width = columns + 1;
  const longest = new Uint16Array((rows + 1) * width);
  for (let i = rows - 1; i >= 0; i -= 1) {
    for (let j = columns - 1; j >= 0; j -= 1) {
      const at = i * width + j;
      longest[at] =
        one[i] === other[j]
          ? longest[at + width + 1] + 1
          : Math.max(longest[at + width], longest[at + 1]);
    }
  }
  const edits = [];
  let i = 0;
  let j = 0;
  while (i < rows && j < columns) {
    if (one[i] === other[j]) {
      edits.push(["same", one[i]]);
      i += 1;
      j += 1;
    } else if (longest[(i + 1) * width + j] >= longest[i * width + j + 1]) {
      edits.push(["gone", one[i]]);
      i += 1;
    } else {
      edits.push(["new", other[j]]);
      j += 1;
    }
  }
  for (; i < rows; i += 1) edits.push(["gone", one[i]]);
  for (; j < columns; j += 1) edits.push(["new", other[j]]);
  return edits;
}

// The difference of two texts as runs [kind, text] that are easy on the eye: what two changes have between them that is
// too little to be read by itself, a space or an "of the", is part of the change.
export function difference(one, other) {
  let [left, right] = [wordsOf(one), wordsOf(other)];
  if (left.length * right.length > CELLS) [left, right] = [linesOf(one), linesOf(other)];
  const blocks = blocksOf(compare(left, right));
  const joined = [];
  blocks.forEach((block, at) => {
    const last = joined.at(-1);
    const next = blocks[at + 1];
    const little = block.same && last && !last.same && next && tooLittle(block.gone, last, next);
    if (last && (little || last.same === block.same)) {
      last.gone += block.gone;
      last.added += block.added;
    } else joined.push({ ...block });
  });
  return joined.flatMap((block) =>
    block.same ? [["same", block.gone]] : [["gone", block.gone], ["new", block.added]].filter(([, text]) => text),
  );
}

// Edits as blocks, by turns the same and changed; what is the same is in both.
function blocksOf(edits) {
  const blocks = [];
  for (const [kind, word] of edits) {
    const same = kind === "same";
    if (blocks.at(-1)?.same !== same) blocks.push({ same, gone: "", added: "" });
    if (kind !== "new") blocks.at(-1).gone += word;
    if (kind !== "gone") blocks.at(-1).added += word;
  }
  return blocks;
}

function tooLittle(text, before, after) {
  const letters = text.trim().length;
  const size = (block) => Math.max(block.gone.length, block.added.length);
  const words = text.match(/[\p{L}\p{N}]+/gu)?.length ?? 0;
  return !letters || (words < 3 && 6 * letters <= size(before) + size(after));
}
