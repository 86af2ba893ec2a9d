"""The kinds of rule there are: how each reads its value, what it requires in words, how it checks an answer.

Regular expressions from outside are bounded: in size when they are compiled, in time when they search.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import regex

from tpo.rewards import text
from tpo.rewards.languages import NAMES, other_language

# A pattern such as (a+)+$ can search for years. It is stopped, and the answer counts as not matching.
SEARCH_SECONDS = 0.5
# Compiling writes out what must repeat: a{10000000} takes 3 s and 2.6 GB. A pattern of this size takes 25 ms.
MOST_SIZE = 5_000

# An escape, a character class, the start of a group, its end, a repetition, a lone character.
_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|\((?:\?[^()]*?[:=!>])?|\)|\{(\d*)(?:,\d*)?\}|.", re.DOTALL
)


def compiled(pattern: str) -> Any:
    """Compile a pattern.

    Raises:
        ValueError: it is no regular expression, or too large.
    """
    if (size := size_of(pattern)) > MOST_SIZE:
        raise ValueError(f"the pattern is too large: written out it has {size:.3g} characters; at most {MOST_SIZE} do")
    try:
        return regex.compile(pattern)
    except (regex.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from error


def matches(pattern: Any, text: str) -> bool:
    """Whether a compiled pattern has a match somewhere in a text.

    Raises:
        TimeoutError: the search takes longer than `SEARCH_SECONDS`.
    """
    # `concurrent` lets other threads run meanwhile.
    return pattern.search(text, timeout=SEARCH_SECONDS, concurrent=True) is not None


def size_of(pattern: str) -> float:
    """How many characters a pattern has when all that must repeat is written out; never less than its length.

    What may repeat more often (`a{2,1000}` counts two) costs nothing when it is compiled.
    """
    groups = [0.0]  # the size of each open group so far, the whole pattern first
    last = 0.0  # the size of the element before, to which a repetition applies
    for token in _TOKEN.finditer(pattern):
        text = token[0]
        if text.startswith("("):
            groups.append(0.0)
            last = 0.0
        elif text == ")" and len(groups) > 1:
            last = groups.pop() + 1
            groups[-1] += last
        elif text.startswith("{") and len(text) > 1:
            grown = last * max(float(token[1] or 0) - 1, 0.0)
            groups[-1] += grown
            last += grown
        else:
            last = 1.0
            groups[-1] += last
    return max(sum(groups), float(len(pattern)))


# What is wrong with an answer, in words that follow "the answer"; None when nothing is.
Check = Callable[[str], str | None]


class RuleKind(NamedTuple):
    """A kind of rule.

    Attributes:
        example: how it is written.
        build: takes the value, returns what the rule requires in words and its check; raises ValueError
            with what is wrong with the value.
    """

    example: str
    build: Callable[[str], tuple[str, Check]]


def _number(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value) or int(value) == 0:
        raise ValueError(f"{value!r} is no whole number above zero")
    return int(value)


def amount(number: int, thing: str) -> str:
    """A number with its noun, as in "1 word" and "2 words"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _at_most(thing: str, count: Callable[[str], list[str]]) -> Callable[[str], tuple[str, Check]]:
    def build(value: str) -> tuple[str, Check]:
        limit = _number(value)

        def check(answer: str) -> str | None:
            found = len(count(answer))
            return f"has {amount(found, thing)}" if found > limit else None

        return f"at most {amount(limit, thing)}", check

    return build


def _at_least(thing: str, count: Callable[[str], list[str]]) -> Callable[[str], tuple[str, Check]]:
    def build(value: str) -> tuple[str, Check]:
        limit = _number(value)

        def check(answer: str) -> str | None:
            found = len(count(answer))
            return f"has {amount(found, thing)}" if found < limit else None

        return f"at least {amount(limit, thing)}", check

    return build


def _bullets(value: str) -> tuple[str, Check]:
    wanted = _number(value)

    def check(answer: str) -> str | None:
        found = len(text.list_items(answer))
        return f"has {amount(found, 'bullet item')}" if found != wanted else None

    return f"exactly {amount(wanted, 'bullet item')}, each on a line of its own", check


def _contains(value: str) -> tuple[str, Check]:
    sought = text.fold(value)
    return f'the text "{value}"', lambda answer: None if sought in text.fold(answer) else "does not contain it"


def _excludes(value: str) -> tuple[str, Check]:
    sought = text.fold(value)
    return f'no "{value}" anywhere', lambda answer: "contains it" if sought in text.fold(answer) else None


def _starts(value: str) -> tuple[str, Check]:
    sought = text.fold(value)

    def check(answer: str) -> str | None:
        begun = answer.strip()
        return None if text.fold(begun).startswith(sought) else f'starts with "{_clip(begun[:60])}"'

    return f'"{value}" at the start', check


def _ends(value: str) -> tuple[str, Check]:
    sought = text.fold(value)

    def check(answer: str) -> str | None:
        ended = answer.strip()
        return None if text.fold(ended).endswith(sought) else f'ends with "{_clip(ended[-60:])}"'

    return f'"{value}" at the end', check


def _clip(piece: str) -> str:
    return " ".join(piece.split())


_FENCED = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL | re.IGNORECASE)


def _json(_: str) -> tuple[str, Check]:
    def check(answer: str) -> str | None:
        body = answer.strip()
        fenced = _FENCED.fullmatch(body)
        try:
            json.loads(fenced[1] if fenced else body, parse_constant=_no_constant)
        except json.JSONDecodeError as error:
            return f"is no JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        except (ValueError, RecursionError) as error:
            return f"is no usable JSON: {error}"
        return None

    return "JSON and nothing else", check


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not allowed in JSON")  # Python reads NaN and Infinity; other readers do not


def _language(value: str) -> tuple[str, Check]:
    code = value.lower()
    if code not in NAMES:
        codes = {name.lower(): known for known, name in NAMES.items()}
        near = difflib.get_close_matches(code, codes, n=1)
        hint = f": for {NAMES[codes[near[0]]]} write {codes[near[0]]}" if near else " such as en, de or zh"
        raise ValueError(f"{value!r} is no known ISO 639-1 code{hint}")

    def check(answer: str) -> str | None:
        other = other_language("\n".join(text.outside_code(answer)), code)
        return f"seems to be in {other}" if other else None

    return f"written in {NAMES[code]}", check


def _regex(value: str) -> tuple[str, Check]:
    pattern = compiled(value)

    def check(answer: str) -> str | None:
        try:
            return None if matches(pattern, answer) else "has no match for it"
        except TimeoutError:
            return f"could not be searched within {SEARCH_SECONDS} s: the pattern is too costly"

    return f"a match for the regular expression /{value}/", check


KINDS = {
    "max-words": RuleKind("max-words=80", _at_most("word", text.words)),
    "min-words": RuleKind("min-words=20", _at_least("word", text.words)),
    "max-sentences": RuleKind("max-sentences=3", _at_most("sentence", text.sentences)),
    "min-sentences": RuleKind("min-sentences=2", _at_least("sentence", text.sentences)),
    "bullets": RuleKind("bullets=3", _bullets),
    "contains": RuleKind("contains=TEXT", _contains),
    "excludes": RuleKind("excludes=TEXT", _excludes),
    "starts": RuleKind("starts=TEXT", _starts),
    "ends": RuleKind("ends=TEXT", _ends),
    "json": RuleKind("json", _json),
    "language": RuleKind("language=en", _language),
    "regex": RuleKind("regex=PATTERN", _regex),
}
