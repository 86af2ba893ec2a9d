"""The embedded default reward: what a reader sees of an answer without understanding it.

Each part is a function, in [0, 1] with 1 for faultless. It takes time linear in the text and knows no language model.
What it cannot read (another language, another script) it treats as unremarkable rather than as bad.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from tpo.messages import Conversation, question, text_of
from tpo.rewards import text
from tpo.rewards.protocol import Score

# English words that a question is made of that do not show its subject. In other languages, counting
# words by their length does most of this work.
_FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        """a about above after again all also am an and any are as at be because been before being both but by
    can could did do does doing down each for from further had has have having he her here him his how i if
    in into is it its just like me more most my no nor not of off on once only or other our out over own
    please same she should so some such than that the their them then there these they this those through
    to too under until up use using very was way we were what when where which while who whom why will with
    would you your
    answer describe create explain find following generate give given help identify make need provide
    sentence suggest tell text think want write""",
    )
)

_REQUESTED = {
    "list": r"lists?|bullets?|steps?|enumerate|outline|itinerary|tips|ingredients|recipe",
    # A table may be of wood, and a program on television: the words around must request the form.
    "table": r"(?:in|as|into|make|create|draw|build|give|show) (?:\w+ )?an? (?:\w+ )?table|table (?:of|with|showing)"
    r"|tabular|csv|spreadsheet",
    "code": r"(?:write|implement|create|give|show|fix|refactor) (?:\w+ ){0,4}(?:code|function|program|script|snippet)"
    r"|(?:code|function|program|script|class) (?:in|that|to|which)|regex|sql|html|css|python|javascript|c\+\+|bash",
    "json": r"json",
}
_FORMS = {form: re.compile(rf"\b(?:{words})(?!\w)", re.IGNORECASE) for form, words in _REQUESTED.items()}
_BRIEF = re.compile(
    r"\b(?:brief(?:ly)?|short(?:ly)?|concise(?:ly)?|in (?:a|one|1) (?:single )?(?:word|sentence|line|phrase)"
    r"|one[- ](?:word|sentence|line)|yes or no|summari[sz]e|tl;?dr|headline|title)\b",
    re.IGNORECASE,
)

RUN = 6  # words in a row that no two texts share by chance; see `per_word` for unspaced scripts


@dataclass(frozen=True, slots=True)
class QueryText:
    """A query, read once for all its candidates.

    Attributes:
        folded: the text without case.
        tokens: its words, for comparison.
        subject: the stems of its content words.
        run: how many tokens in a row are no chance when an answer has them too.
        runs: every `run` tokens in a row.
        forms: the forms it requests, of "list", "table", "code", "json" (English only).
        brief: whether it requests a short answer (English only).
    """

    folded: str
    tokens: list[str]
    subject: frozenset[str]
    run: int
    runs: frozenset[tuple[str, ...]]
    forms: tuple[str, ...]
    brief: bool


@dataclass(frozen=True, slots=True)
class AnswerText:
    """An answer: its text, its words for comparison, and the set of their stems."""

    text: str
    tokens: list[str]
    stems: frozenset[str]


# Candidates of one query are scored as they arrive, a few queries at a time.
@lru_cache(maxsize=256)
def read_query(query: str) -> QueryText:
    """Read a query."""
    tokens = text.tokens(query)
    content = [token for token in tokens if token not in _FUNCTION_WORDS]
    return QueryText(
        folded=query.casefold(),
        tokens=tokens,
        subject=frozenset(stem for stem in stems(content) if len(stem) > 1),
        run=(run := RUN * per_word(tokens)),
        runs=frozenset(runs(tokens, run)),
        forms=tuple(form for form, pattern in _FORMS.items() if pattern.search(query)),
        brief=_BRIEF.search(query) is not None,
    )


def read_answer(answer: str) -> AnswerText:
    """Read an answer."""
    tokens = text.tokens(answer)
    return AnswerText(answer, tokens, frozenset(stems(tokens)))


def per_word(tokens: Sequence[str]) -> int:
    """How many tokens make about one word: 2 where most tokens are characters of an unspaced script, else 1."""
    return 2 if 2 * sum(map(text.is_unspaced, tokens)) > len(tokens) else 1


def runs(things: Sequence[str], size: int) -> list[tuple[str, ...]]:
    """Every `size` things in a row: words of a list, or characters of a string."""
    return list(zip(*(things[start:] for start in range(size)), strict=False))


def stems(tokens: Sequence[str]) -> set[str]:
    """What the inflections of each token share; unspaced scripts become pairs of neighbouring characters."""
    found = {_stem(token) for token in set(tokens)}
    signs = {token for token in found if text.is_unspaced(token)}
    if not signs:
        return found
    return (found - signs) | {a + b for a, b in pairwise(tokens) if a in signs and b in signs}


def _stem(token: str) -> str:
    if len(token) > 4 and token.endswith("ies"):
        token = token[:-3] + "y"
    elif len(token) > 3 and token.endswith("s") and not token.endswith("ss"):
        token = token[:-1]
    # Cutting is crude and works for most languages whose words inflect at the end.
    return token[:6]


# The reward is the sum of weight times part; the weights add up to one.
#
# `length` and `echo` are set by what human votes on PandaLM and LLMEval2 pairs agree with, which are permissively
# licensed; no other pairs were used. The rest weigh what they do by design: those pairs hold few loops,
# leaks, cut answers or answers to another question, but a small model's samples hold many. (By the votes alone,
# `relevance` would weigh half as much.)
WEIGHTS = {
    "length": 0.28,
    "repetition": 0.14,
    "echo": 0.14,
    "relevance": 0.18,
    "completeness": 0.09,
    "cleanness": 0.09,
    "structure": 0.05,
    "directness": 0.03,
}

# A short answer that shares no word with the question ("I'm ready to help you with that!") is faultless in form, and
# loses this share of its value; a long one less, since it may use other words for the same things.
OFF_TOPIC = 0.7

# The feedback for a part below one half. `length`, `relevance` and `directness` have none: a short
# answer or a refusal may be right, so advice against it would do harm.
_FAULTS = {
    "completeness": "it stops before it is finished",
    "repetition": "it repeats itself",
    "echo": "much of it is copied from the question",
    "cleanness": "it contains template tokens, role labels or tags that do not belong in an answer",
    "structure": "it lacks the form that was asked for (list, table, code or JSON)",
}


class Surface:
    """Scores an answer in [0, 1] by its surface: deterministic, without a model, for text in any language."""

    # Part of every journal: raise it with any change that moves a score.
    name = "surface@2"

    async def score(self, conversations: Sequence[Conversation]) -> list[Score]:
        """Score the last message of each conversation as the answer to its last user message.

        Returns:
            A score for each conversation: its value in [0, 1], its parts named as in `WEIGHTS`, each in
            [0, 1] with 1 for faultless, and the faults in words if there are any.
        """
        return [surface(question(messages[:-1]), text_of(messages[-1])) for messages in conversations]


def surface(query: str, answer: str) -> Score:
    """Score one answer to one query; an empty answer gets 0 in every part."""
    if not any(sign.isprintable() and not sign.isspace() for sign in answer):
        return Score(0.0, dict.fromkeys(WEIGHTS, 0.0), "The answer is empty.")
    query_text, given = read_query(query), read_answer(answer)
    parts = {
        "length": length(query_text, given),
        "repetition": repetition(given),
        "echo": echo(query_text, given),
        "relevance": relevance(query_text, given),
        "completeness": completeness(given),
        "cleanness": cleanness(query_text, given),
        "structure": structure(query_text, given),
        "directness": directness(given),
    }
    value = math.fsum(weight * parts[name] for name, weight in WEIGHTS.items())
    if parts["relevance"] == 0.0:
        value *= 1 - OFF_TOPIC * (1 - parts["length"])
    faults = {name: words for name, words in _FAULTS.items() if parts[name] < 0.5}
    return Score(value, parts, f"The answer has faults: {'; '.join(faults.values())}." if faults else None, faults)


def relevance(query: QueryText, answer: AnswerText) -> float:
    """How much of what the query is about the answer speaks of.

    Of m content words in the query the answer shares n: n / (n + 1), scaled so that sharing all gives 1.
    The first few words count most, since a good answer has words of its own.
    """
    there = len(query.subject)
    shared = len(query.subject & answer.stems)
    return shared / (shared + 1) * (there + 1) / there if there else 1.0


def length(query: QueryText, answer: AnswerText) -> float:
    """How much the answer contains: distinct stems n against a constant, n / (n + k).

    It saturates, and repetition adds nothing to it. Where the query requests a short answer, a few words
    reach what otherwise takes many.
    """
    distinct = len(answer.stems)
    return distinct / (distinct + (15 if query.brief else 60))


_ENDS = frozenset(".!?…。！？｡।॥؟۔:;\"'”’»)]}」』）】*_`|~>")
_CUT = frozenset(",;:-–—(（[{、，：&/\\=+")
_DANGLING = re.compile(r"\b(?:and|or|but|the|a|an|of|to|for|with|in|is|are|that|which|as|by)$", re.IGNORECASE)
_EMPTY_ITEM = re.compile(r"[ \t]*(?:[-*+•]|\(?\d{1,3}[.)]|#{1,6})(?:[ \t]*\*\*[^*\n]*)?[ \t]*$")


def completeness(answer: AnswerText) -> float:
    """Whether the answer is finished: 0 for a code block left open or an end in mid-phrase, 1 for a stop.

    A last line without a stop is judged by the others: a list or a poem may have none at all, but among
    lines that all end in one it was cut. A lone line without a stop is a title or a name if it is short.
    """
    lines = answer.text.rstrip().splitlines()
    if not lines or text.open_fence(answer.text):
        return 0.0
    last = lines[-1].strip()
    if last.startswith(("```", "~~~")):
        return 1.0
    if not last or _EMPTY_ITEM.match(lines[-1]) or last[-1] in _CUT or _DANGLING.search(last[-8:]):
        return 0.0
    if last[-1] in _ENDS:
        return 1.0
    others = [line.rstrip()[-1] in _ENDS for line in lines[:-1] if line.strip()]
    if others:
        return 1.0 - 0.75 * sum(others) / len(others)
    return 1.0 if len(answer.tokens) <= 8 else 0.5


_SAME_SIGN = re.compile(r"([^\s\w\-=_*~.#|+/])(?:\s?\1){15,}")  # "!!!!!", "😀😀😀"; rules and dot leaders are fine
_FREE = 0.1
_RUINED = 0.5


def repetition(answer: AnswerText) -> float:
    """Freedom from loops, by the share of the answer that repeats what came before.

    The share is the largest of: runs of four words that came before, lines that came before, and letters
    or signs that recur without end. A tenth is free, for good prose repeats that much; half is ruin.
    """
    share = max(
        _repeated(runs(answer.tokens, 4 * per_word(answer.tokens))),
        _repeated([line for line in map(str.strip, answer.text.splitlines()) if len(line) > 3], least=4),
        _looped(answer),
    )
    return 1.0 - min(1.0, max(0.0, share - _FREE) / (_RUINED - _FREE))


def _repeated(things: Sequence[object], least: int = 1) -> float:
    return 1 - len(set(things)) / len(things) if len(things) >= least else 0.0


def _looped(answer: AnswerText) -> float:
    letters = sum(len(token) * _repeated(runs(token, 4)) for token in answer.tokens if len(token) > 30)
    signs = sum(len(found[0]) for found in _SAME_SIGN.finditer(answer.text))
    return (letters + signs) / max(1, len(answer.text))


def echo(query: QueryText, answer: AnswerText) -> float:
    """Freedom from repeating the query: 1 minus the square of the share of the answer copied from it.

    Copied is a word inside a run of six (twelve characters in unspaced scripts) that the query has too.
    Squared, since a summary or a correction rightly borrows some, while an answer that is all query
    answers nothing.
    """
    if len(answer.tokens) < query.run or not query.runs:
        return 0.0 if answer.tokens and answer.tokens == query.tokens else 1.0
    copied = bytearray(len(answer.tokens))
    for start, run in enumerate(runs(answer.tokens, query.run)):
        if run in query.runs:
            copied[start : start + query.run] = b"\1" * query.run
    return 1.0 - (sum(copied) / len(copied)) ** 2


_REFUSAL = re.compile(
    r"\bi(?:'m| am) (?:sorry|unable|not able|afraid)|\bi (?:can ?not|can't|won't|do not|don't) "
    r"(?:help|assist|provide|answer|comply|have|know|do|fulfil+|complete|understand)|\bas an ai\b"
    r"|\bas a language model|\bi apologi[sz]e|es tut mir leid|je suis désolé|lo siento|mi dispiace|desculpe"
    r"|抱歉|对不起|申し訳|죄송"
)


def directness(answer: AnswerText) -> float:
    """1 where the answer neither refuses nor excuses itself; halved by each place where it does, up to three.

    This is about wording only. Whether a refusal is right does not show on the surface, so the part weighs
    little and gives no feedback.
    """
    return 0.5 ** min(3, len(_REFUSAL.findall(answer.text.lower().replace("’", "'"))))


_LEAK = re.compile(
    r"<\|[^|<>\n]{1,40}\|>"  # <|im_start|>
    r"|</?s>|<(?:bos|eos|pad|unk|start_of_turn|end_of_turn)>|\[/?INST\]|<</?SYS>>"
    r"|</?[A-Za-z]{1,30}_[A-Za-z_]{1,30}>"  # <improved_answer>: names with an underscore are no HTML
    r"|</?(?:think|answer|response|instruction|feedback)>"
    r"|^\#{2,4}[ ]?(?:instruction|input|response|question|answer|user|assistant|system|human)s?:"
    r"|^(?:user|human|assistant|ai|system|question|q)[ \t]?:"
    r"|\ufffd",  # half a character, left by a token boundary
    re.IGNORECASE | re.MULTILINE,
)


def cleanness(query: QueryText, answer: AnswerText) -> float:
    """1 without template tokens, role labels or prompt tags; a quarter for each kind that the query did not show."""
    found = {mark.casefold() for mark in _LEAK.findall(answer.text)}
    return 0.25 ** sum(mark not in query.folded for mark in found) if found else 1.0


_CODE = re.compile(
    r"```|~~~|^(?: {4}|\t)\S|[;{}][ \t]*$|^[ \t]*(?:def|class|import|from|return|SELECT|<\w+)\b", re.MULTILINE
)
_TABLE_ROW = re.compile(r"^[^\n|]*\|[^\n]*\||^[^\n,]+,[^\n,]+,", re.MULTILINE)
_JSON = re.compile(r"[{\[][^{}\[\]]*[}\]]")


def structure(query: QueryText, answer: AnswerText) -> float:
    """Whether the answer has the forms that the query requests, as a share of them: 1 where it requests none."""
    if not query.forms:
        return 1.0
    return sum(_has_form(form, answer.text) for form in query.forms) / len(query.forms)


def _has_form(form: str, answer: str) -> float:
    if form == "list":
        return min(1.0, len(text.list_items(answer)) / 2)
    if form == "table":
        return float(len(_TABLE_ROW.findall(answer)) > 1)
    return float((_CODE if form == "code" else _JSON).search(answer) is not None)
