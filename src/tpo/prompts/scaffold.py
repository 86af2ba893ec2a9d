"""The words of a prompt that are ours, and where an answer repeats them.

We know every word that we sent. Words that stand neither in the query nor in an answer that was shown, nor in any other
value of a template, are the prompt's own; an answer that repeats some already excuses no other. An answer repeats them
where it holds a run of them, or a whole sentence. A sentence that talks about "Answer 1", "the original answer" or "the
instructions", which the query does not do, counts the same. The reward's words may come back in a better answer, but
not where they talk about "the answer", and they alone are no answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, TypeAlias

from tpo.messages import Conversation, text_of
from tpo.prompts.shown import Shown, texts_in

# So many words in a row are no accident; a whole sentence of ours counts from so few.
RUN = 6
SENTENCE = 3
# What the reward's words call an answer that it saw.
_ANSWER = "the answer"
# A shorter value may stand in our own words by accident.
SHORTEST_VALUE = 16

Words: TypeAlias = tuple[str, ...]

_WORD = re.compile(r"\w+(?:['’]\w+)*")
_NEXT_WORD = re.compile(rf"\W*{_WORD.pattern}")
# Begins with the one set of characters that may end a sentence, for which a text is searched fast.
_END = re.compile(r"[.!?。！？\n](?:(?<=[.!?])[.!?]*[\"'”’)\]*_]*(?=\s|$)|(?<=[。！？\n]))\s*")
_LABEL = re.compile(r"[#*\s]*(question|answer 1|answer 2|instructions|criticism)\W*:[*\s]*", re.IGNORECASE)


class _Talk(NamedTuple):
    """A way to talk about answers.

    Attributes:
        needs: texts, one of which stands in every sentence that matches: a look for these is cheaper.
        pattern: what such a sentence contains.
        innocent: what makes it innocent where the query contains that; None for the matched words.
    """

    needs: tuple[str, ...]
    pattern: re.Pattern[str]
    innocent: str | None = None


_KINDS = ("original", "previous", "improved", "revised", "rewritten", "updated", "better", "rejected", "chosen")
_KIND = rf"(?:{'|'.join(_KINDS)})"
_NOUN = r"(?:answer|response)"
_ADVICE = ("instructions", "feedback", "criticism", "suggestions")
_TALK = (
    _Talk(("answer 1", "answer 2"), re.compile(r"\bAnswer [12]\b(?! of\b)")),
    _Talk(
        ("the instructions",),
        re.compile(rf"\b(?:it|{_NOUN}) follow(?:s|ed) (?:all )?(?:of )?the instructions\W*$", re.I),
    ),
    _Talk(_KINDS, re.compile(rf"\b(?:the|your|this|my|an?) {_KIND} {_NOUN}\b", re.I)),
    _Talk(
        ("version of ",),
        re.compile(rf"\b(?:improved|revised|rewritten|updated|better) version of (?:the|your|this|my) {_NOUN}\b", re.I),
    ),
    _Talk(
        ("your answer ", "your response "),
        re.compile(rf"\byour {_NOUN} (?:is|was|has|looks|seems|could|needs|does|lacks|already)\b", re.I),
        "your answer",
    ),
    _Talk(
        tuple(f"{article} {noun} " for article in ("the", "this", "my") for noun in ("answer", "response")),
        re.compile(
            rf"\b(?:the|this|my) {_NOUN} (?:(?:has been|was|is) (?:\w+ )?(?:rewritten|improved|revised|updated|better)"
            rf"|lacks|addresses|follows|fails to|is missing|now includes)\b",
            re.I,
        ),
        "answer",
    ),
    _Talk(
        _ADVICE,
        re.compile(
            r"\bI(?:'ve| have| will|'ll)? (?:now )?(?:follow(?:ed)?|appl(?:y|ied)|incorporated?|address(?:ed)?)"
            r" (?:all )?(?:of )?(?:the|your|these|those) (?:instructions|feedback|criticism|suggestions)\b",
            re.I,
        ),
    ),
    _Talk(
        _ADVICE,
        re.compile(
            r"\b(?:based on|according to|following) (?:the|your) (?:criticism|feedback|instructions given)\b", re.I
        ),
    ),
)


class Scaffold:
    """The words of a prompt that are ours.

    Args:
        query: the conversation to answer.
        messages: what is sent.
        variables: the values of the templates' variables, candidates as `Shown`.
        reported: what the reward said of answers, where it stands in other variables than their feedback.
    """

    def __init__(
        self,
        query: Conversation,
        messages: Conversation,
        variables: Mapping[str, Any],
        reported: Sequence[str] = (),
    ) -> None:
        # Most replies are no answers, and most answers repeat nothing: all else is made when it is needed.
        self._conversation = query
        self._messages = messages
        self._variables = variables
        self._reported = reported

    def marks(self, sentences: Sequence[str]) -> list[int | None]:
        """Where our words begin in each sentence of an answer; None where it holds none."""
        suspect = self.may_be_repeated("".join(sentences))
        marks: list[int | None] = []
        lead: list[str] = []  # the words before a sentence, where a run may begin
        for sentence in sentences:
            if self._is_label(sentence) or self._is_talk(sentence):
                marks.append(0)
            else:
                marks.append(self._repeated(sentence, lead) if suspect else None)
            lead = [*lead, *words_of(sentence)][-(RUN - 1) :] if suspect else lead
        return marks

    def may_be_repeated(self, text: str) -> bool:
        """Whether a text may hold a run or a sentence of ours.

        Most texts do not, and this takes a fraction of the time of an exact search. Whatever is ours lies in a passage
        between two values, or holds the two words at the edge of a value.
        """
        words = words_of(text)
        runs, phrases = self._clues
        if not runs.isdisjoint(_runs_in(words)):
            return True
        spaced = _spaced([words])
        return any(phrase in spaced for phrase in phrases)

    def quotes(self, sentence: str) -> bool:
        """Whether a sentence repeats a value of a template, as happens beside our words."""
        words = words_of(sentence)
        return not words or (len(words) >= SENTENCE and f" {' '.join(words)} " in self._attached)

    def is_feedback(self, text: str) -> bool:
        """Whether a text is nothing but what the reward said of an answer."""
        feedback = [words_of(one) for one in self._feedback]
        # A shorter text may be an answer which the reward's words contain.
        if not feedback or len(words := words_of(text)) < RUN:
            return False
        spaced = _spaced([words])
        return spaced in _spaced(feedback) and spaced not in _spaced(map(words_of, [self._query, *self._shown]))

    def _repeated(self, sentence: str, lead: Sequence[str]) -> int | None:
        """Where a run or sentence of ours begins in a sentence; None where there is none: the exact search."""
        found = [(word[0], word.start()) for word in _WORD.finditer(_lowered(sentence))]
        words = tuple(word for word, _ in found)
        if words in self._sentences:
            return 0
        everything = (*lead, *words)
        for start in range(len(everything) - RUN + 1):
            if start + RUN > len(lead) and everything[start : start + RUN] in self._runs:
                return found[start - len(lead)][1] if start >= len(lead) else 0
        return None

    def _is_talk(self, sentence: str) -> bool:
        """Whether a sentence talks about answers in a way in which the query does not."""
        lowered = _lowered(sentence)
        for talk in _TALK:
            for text in talk.needs:
                if text in lowered:
                    found = talk.pattern.search(sentence)
                    if found and (talk.innocent or found[0].lower()) not in self._query.lower():
                        return True
                    break
        return False

    def _is_label(self, sentence: str) -> bool:
        found = _LABEL.fullmatch(sentence)
        return found is not None and found[1].lower() not in self._query.lower()

    @cached_property
    def _query(self) -> str:
        return "\n".join(text_of(message) for message in self._conversation)

    @property
    def _texts(self) -> list[str]:
        return [text_of(message) for message in self._messages]

    @cached_property
    def _values(self) -> list[str]:
        return [self._query, *texts_in(self._variables)]

    @cached_property
    def _attached(self) -> str:
        return _spaced(words_of(value) for value in self._values if not isinstance(value, Shown))

    @cached_property
    def _innocent(self) -> list[str]:
        """The values without the answers that repeat words of ours."""
        return [value for value in self._values if not (isinstance(value, Shown) and value.leaked)]

    @cached_property
    def _runs(self) -> frozenset[Words]:
        ours = (_all_runs(self._texts) - _all_runs(self._values)) | self._verdicts
        if len(self._innocent) < len(self._values):
            ours |= self._clues[0] - _all_runs(self._innocent)
        return ours

    @property
    def _shown(self) -> list[Shown]:
        return [value for value in self._values if isinstance(value, Shown)]

    @property
    def _feedback(self) -> list[str]:
        """What the reward said of answers."""
        return [text for text in (*(one.feedback for one in self._shown), *self._reported) if text]

    @cached_property
    def _verdicts(self) -> frozenset[Words]:
        """The runs of the reward's words that talk about "the answer", as the query does not."""
        feedback = [text for text in self._feedback if _ANSWER in text.lower()]
        if not feedback or "answer" in self._query.lower():
            return frozenset()
        runs = {run for run in _all_runs(feedback) if f" {_ANSWER} " in _spaced([run])}
        return frozenset(runs) - _all_runs([self._query, *self._shown])

    @cached_property
    def _sentences(self) -> frozenset[Words]:
        others = _spaced(map(words_of, self._values))
        sentences = {tuple(words_of(sentence)) for text in self._texts for sentence, _ in sentences_of(text)}
        return frozenset(
            words for words in sentences if len(words) >= SENTENCE and f" {' '.join(words)} " not in others
        )

    @cached_property
    def _clues(self) -> tuple[set[Words], list[str]]:
        """The runs in our passages; and their short sentences and the words beside each edge of a value, spaced."""
        texts = (*self._values, *map(text_of, self._conversation))
        values = {str(text) for text in texts if len(text) >= SHORTEST_VALUE}
        runs: set[Words] = set(self._verdicts)
        phrases: list[str] = []
        for text in self._texts:
            if text in values:
                continue
            parts = _parted(text, [value for value in values if value in text])
            for passage in map(_passage, parts[::2]):
                runs |= passage.runs
                phrases += passage.sentences
            backwards, at = text[::-1], 0
            for part in parts[:-1]:
                at += len(part)
                before, after = _NEXT_WORD.match(backwards, len(text) - at), _NEXT_WORD.match(text, at)
                if before and after:
                    phrases.append(_spaced([words_of(text[len(text) - before.end() : after.end()])]))
        return runs, phrases


class _Passage(NamedTuple):
    """Words of ours that stand together.

    Attributes:
        runs: the runs in them.
        sentences: the sentences that are shorter than a run, as `_spaced` has them.
    """

    runs: frozenset[Words]
    sentences: tuple[str, ...]


@lru_cache(maxsize=64)  # the passages of a template are the same in all queries
def _passage(text: str) -> _Passage:
    short = [words for sentence, _ in sentences_of(text) if SENTENCE <= len(words := words_of(sentence)) < RUN]
    return _Passage(frozenset(_runs_in(words_of(text))), tuple(_spaced([words]) for words in short))


def _parted(text: str, values: Iterable[str]) -> list[str]:
    """A text in parts: a passage of ours, a value, a passage, and so on."""
    parts = [text]
    # A value may stand in a longer one: the question in the whole conversation.
    for value in sorted(values, key=len, reverse=True):
        for at in range(len(parts) - 1, -1, -2):
            passage, *more = parts[at].split(value)
            parts[at : at + 1] = [passage, *(part for piece in more for part in (value, piece))]
    return parts


def sentences_of(text: str) -> Iterator[tuple[str, int]]:
    """The sentences and lines of a text, and where they begin."""
    start = 0
    for found in _END.finditer(text):
        if text[start : found.end()].strip():
            yield text[start : found.end()], start
            start = found.end()
    if text[start:].strip():
        yield text[start:], start


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case."""
    found: list[str] = _WORD.findall(_lowered(text))
    return found


def _lowered(text: str) -> str:
    """A text in lower case and of the same length, whose letters do not depend on those beside them."""
    return text.replace("İ", "i").lower().replace("ς", "σ")


def _spaced(texts: Iterable[Sequence[str]]) -> str:
    """The words of some texts between blanks, so that whole words are found in it."""
    return "\n".join(f" {' '.join(words)} " for words in texts)


def _runs_in(words: Sequence[str]) -> Iterator[Words]:
    """Each sequence of RUN words."""
    return zip(*(words[at:] for at in range(RUN)), strict=False)


def _all_runs(texts: Iterable[str]) -> frozenset[Words]:
    return frozenset(run for text in texts for run in _runs_in(words_of(text)))
