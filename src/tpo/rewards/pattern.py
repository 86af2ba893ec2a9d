"""Regular expressions from outside: bounded in size when they are compiled, in time when they search."""

from __future__ import annotations

import re
from typing import Any

import regex

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
