"""A query and an answer as the surface reward reads them: what its parts look up, worked out once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from tpo.rewards import text

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
