"""Words of ours in an answer: they are cut off where they stand at an end, and reported where they stand inside."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from tpo.prompts.scaffold import SENTENCE, Scaffold, sentences_of, words_of

# Characters of what was found that are reported.
LONGEST = 200

_LOOSE_END = re.compile(r"[\s(\[{:,;\-–—*#>]+$")
# A reply that is nothing but this answers no question.
_READY = re.compile(
    r"\W*(?:(?:sure|okay|of course)\W+)?(?:I['’]?m|I am) (?:ready|here|happy|glad) to (?:help|assist)[^.!?\n]*[.!?\s]*"
    r"(?:(?:please|what|how|just|let)[^.!?\n]*[.!?\s]*)?",
    re.IGNORECASE,
)


class Cleaned(NamedTuple):
    """An answer without our words at its ends, and those that it still repeats."""

    text: str
    leaked: str | None = None


def clean(text: str, scaffold: Scaffold | None, *, whole: bool = False) -> Cleaned:
    """An answer without our words: cut at its ends, marked inside.

    Args:
        text: the answer as its prompt reads it.
        scaffold: our words in the prompt; None where the prompt has none.
        whole: the prompt asked for an answer alone, so that a reply which only offers help is no answer.
    """
    if scaffold is None:
        return Cleaned(text)
    cut: str | None = None
    while text.strip():
        cleaned = _cut(text, scaffold, whole=whole)
        if cleaned.text == text:
            return cleaned
        # What a cut lays bare may be ours as well.
        cut, text = cut or cleaned.leaked, cleaned.text
    return Cleaned(text, cut)


def _cut(text: str, scaffold: Scaffold, *, whole: bool) -> Cleaned:
    """One cut at both ends; `leaked` is what was cut, or what is inside where nothing can be cut."""
    pieces = list(sentences_of(text))
    marks = scaffold.marks([piece for piece, _ in pieces])
    if all(mark is None for mark in marks):
        if whole and _READY.fullmatch(text):
            return Cleaned("", text.strip()[:LONGEST])
        return Cleaned(text, text.strip()[:LONGEST] if scaffold.is_feedback(text) else None)
    found = next(piece for (piece, _), mark in zip(pieces, marks, strict=True) if mark is not None)
    first, last = _ends(pieces, marks, scaffold)
    if first >= last:
        return Cleaned("", found.strip()[:LONGEST])
    end = pieces[last][1] if last < len(pieces) else len(text)
    mark = marks[last] if last < len(pieces) else None
    if mark and len(words_of(pieces[last][0][:mark])) >= SENTENCE:
        end += mark  # a sentence that begins with words of the answer's own
    kept = text[pieces[first][1] : end]
    kept = _LOOSE_END.sub("", kept) if last < len(pieces) else kept
    if first == 0 and last == len(pieces):
        return Cleaned(text, found.strip()[:LONGEST])
    return Cleaned(kept.strip(), found.strip()[:LONGEST])


def _ends(pieces: Sequence[tuple[str, int]], marks: Sequence[int | None], scaffold: Scaffold) -> tuple[int, int]:
    """The first sentence to keep, and the one behind the last."""
    first, last = 0, len(pieces)
    while first < last and marks[first] is not None:
        first += 1
        # What we quoted stands beside our words: the question behind "Question:".
        while first < last and marks[first] is None and scaffold.quotes(pieces[first][0]):
            first += 1
    quoted = last
    while quoted > first and marks[quoted - 1] is None and scaffold.quotes(pieces[quoted - 1][0]):
        quoted -= 1
    if quoted > first and marks[quoted - 1] is not None:
        last = quoted
    while last > first and marks[last - 1] is not None:
        last -= 1
        if marks[last] and len(words_of(pieces[last][0][: marks[last]])) >= SENTENCE:
            break
    return first, last
