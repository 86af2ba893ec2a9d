"""Words of ours in an answer: what an answer repeats of the prompt that it was drawn by, and talk about answers.

We know every word that we sent. Words that stand neither in the query nor in an answer that was shown, nor in any other
value of a template, are the prompt's own. An answer that repeats a run of them is cut there where it stands at an end,
and marked as leaked where it stands inside. A sentence that talks about "Answer 1", "the original answer" or "the
instructions", which the query does not do, counts the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from tpo.messages import Conversation, text_of

# So many words in a row are no accident; a whole sentence of ours counts from so few.
RUN = 6
SENTENCE = 3
LONGEST = 200

_WORD = re.compile(r"\w+(?:['’]\w+)*")
_END = re.compile(r"(?:[.!?]+[\"'”’)\]*_]*(?=\s|$)|[。！？]|\n)\s*")
_LABEL = re.compile(r"[#*\s]*(question|answer 1|answer 2|instructions|criticism)\W*:[*\s]*", re.IGNORECASE)
_LOOSE_END = re.compile(r"[\s(\[{:,;\-–—*#>]+$")

_KIND = r"(?:original|previous|improved|revised|rewritten|updated|better|rejected|chosen)"
_NOUN = r"(?:answer|response)"
# Talk about answers; what the query itself contains is no leak. Each stands with the words that make it innocent there;
# none means the matched words.
_TALK: tuple[tuple[re.Pattern[str], str | None], ...] = (
    (re.compile(r"\bAnswer [12]\b(?! of\b)"), None),
    (re.compile(rf"\b(?:it|{_NOUN}) follow(?:s|ed) (?:all )?(?:of )?the instructions\W*$", re.I), None),
    (re.compile(rf"\b(?:the|your|this|my|an?) {_KIND} {_NOUN}\b", re.I), None),
    (
        re.compile(rf"\b(?:improved|revised|rewritten|updated|better) version of (?:the|your|this|my) {_NOUN}\b", re.I),
        None,
    ),
    (re.compile(rf"\byour {_NOUN} (?:is|was|has|looks|seems|could|needs|does|lacks|already)\b", re.I), "your answer"),
    (
        re.compile(
            rf"\b(?:the|this|my) {_NOUN} (?:(?:has been|was|is) (?:\w+ )?(?:rewritten|improved|revised|updated|better)"
            rf"|lacks|addresses|follows|fails to|is missing|now includes)\b",
            re.I,
        ),
        "answer",
    ),
    (
        re.compile(
            r"\bI(?:'ve| have| will|'ll)? (?:now )?(?:follow(?:ed)?|appl(?:y|ied)|incorporated?|address(?:ed)?)"
            r" (?:all )?(?:of )?(?:the|your|these|those) (?:instructions|feedback|criticism|suggestions)\b",
            re.I,
        ),
        None,
    ),
    (
        re.compile(
            r"\b(?:based on|according to|following) (?:the|your) (?:criticism|feedback|instructions given)\b", re.I
        ),
        None,
    ),
)
# Each pattern above needs one of these words. Most sentences have none, and one search is cheaper than eight.
_SUBJECT = re.compile(r"answer|response|instructions|feedback|criticism|suggestions", re.I)
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


class Scaffold:
    """The words of a prompt that are ours.

    Args:
        query: the conversation to answer.
        messages: what is sent.
        given: values of the templates' variables other than answers.
        shown: answers that the prompt shows.
    """

    def __init__(self, query: Conversation, messages: Conversation, given: Iterable[str], shown: Iterable[str]) -> None:
        self._messages = messages
        self._query = "\n".join(text_of(message) for message in query)
        self._given = [self._query, *given]
        self._shown = list(shown)

    @cached_property
    def _given_words(self) -> list[list[str]]:
        return [_words(text) for text in self._given]

    @cached_property
    def _other_words(self) -> list[list[str]]:
        return self._given_words + [_words(text) for text in self._shown]

    @cached_property
    def _others(self) -> str:
        return _spaced(self._other_words)

    @cached_property
    def _attached(self) -> str:
        return _spaced(self._given_words)

    @cached_property
    def _runs(self) -> frozenset[tuple[str, ...]]:
        return _all_runs(map(_words, self._texts)) - _all_runs(self._other_words)

    @cached_property
    def _sentences(self) -> frozenset[tuple[str, ...]]:
        sentences = {tuple(_words(piece)) for text in self._texts for piece, _ in _pieces(text)}
        return frozenset(
            words for words in sentences if len(words) >= SENTENCE and f" {' '.join(words)} " not in self._others
        )

    @property
    def _texts(self) -> list[str]:
        return [text_of(message) for message in self._messages]

    def ours(self, piece: str, before: str) -> int | None:
        """Where our words begin in a sentence; None where it holds none.

        Args:
            piece: the sentence.
            before: the text before it: a run may begin there.
        """
        words = [(found.group().lower(), found.start()) for found in _WORD.finditer(piece)]
        plain = [word for word, _ in words]
        if tuple(plain) in self._sentences or self._is_label(piece) or self.is_talk(piece):
            return 0
        lead = _words(before[-LONGEST:])[-(RUN - 1) :]
        everything = [*lead, *plain]
        for start in range(len(everything) - RUN + 1):
            if start + RUN > len(lead) and tuple(everything[start : start + RUN]) in self._runs:
                return words[start - len(lead)][1] if start >= len(lead) else 0
        return None

    def follows(self, piece: str) -> bool:
        """Whether a sentence repeats a value of a template, as happens beside our words."""
        words = _words(piece)
        return not words or (len(words) >= SENTENCE and f" {' '.join(words)} " in self._attached)

    def is_talk(self, piece: str) -> bool:
        """Whether a sentence talks about answers in a way in which the query does not."""
        if not _SUBJECT.search(piece):
            return False
        query = self._query.lower()
        return any(
            (innocent or found.group().lower()) not in query
            for pattern, innocent in _TALK
            if (found := pattern.search(piece))
        )

    def _is_label(self, piece: str) -> bool:
        found = _LABEL.fullmatch(piece)
        return found is not None and found[1].lower() not in self._query.lower()


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
    pieces = list(_pieces(text))
    marks = [scaffold.ours(piece, text[:at]) for piece, at in pieces]
    if all(mark is None for mark in marks):
        if whole and _READY.fullmatch(text):
            return Cleaned("", text.strip()[:LONGEST])
        return Cleaned(text)
    found = next(piece for (piece, _), mark in zip(pieces, marks, strict=True) if mark is not None)
    first, last = _ends(pieces, marks, scaffold)
    if first >= last:
        return Cleaned("", found.strip()[:LONGEST])
    end = pieces[last][1] if last < len(pieces) else len(text)
    mark = marks[last] if last < len(pieces) else None
    if mark and len(_words(pieces[last][0][:mark])) >= SENTENCE:
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
        while first < last and marks[first] is None and scaffold.follows(pieces[first][0]):
            first += 1
    quoted = last
    while quoted > first and marks[quoted - 1] is None and scaffold.follows(pieces[quoted - 1][0]):
        quoted -= 1
    if quoted > first and marks[quoted - 1] is not None:
        last = quoted
    while last > first and marks[last - 1] is not None:
        last -= 1
        if marks[last] and len(_words(pieces[last][0][: marks[last]])) >= SENTENCE:
            break
    return first, last


def _pieces(text: str) -> Iterator[tuple[str, int]]:
    """The sentences and lines of a text, and where they begin."""
    start = 0
    for found in _END.finditer(text):
        if text[start : found.end()].strip():
            yield text[start : found.end()], start
            start = found.end()
    if text[start:].strip():
        yield text[start:], start


def _words(text: str) -> list[str]:
    found: list[str] = _WORD.findall(text.lower())
    return found


def _spaced(texts: Iterable[list[str]]) -> str:
    """The words of some texts between blanks, so that whole words are found in it."""
    return "\n".join(f" {' '.join(words)} " for words in texts)


def _all_runs(texts: Iterable[list[str]]) -> frozenset[tuple[str, ...]]:
    """Each sequence of RUN words that stands in one of the texts."""
    runs: set[tuple[str, ...]] = set()
    for words in texts:
        runs.update(zip(*(words[at:] for at in range(RUN)), strict=False))
    return frozenset(runs)
