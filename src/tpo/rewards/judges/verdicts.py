"""Reading which answer a judge prefers, and in which order it ranks several."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

# The value of each verdict for the answer that was shown first.
FIRST, SECOND, TIE = 1.0, 0.0, 0.5
VERDICTS = {"A": FIRST, "B": SECOND, "tie": TIE, "Tie": TIE, "TIE": TIE}

_ROUND = r"[\s*_\"'`“”\[\](){}<>.:=]*"
_NAMED = r"(?i:(?:the )?(?:answer|response|assistant|option)[\s_]+)?"
_MARKUP = r"[*_\"'`(\[<]*"
# In the order in which they are tried; a label is a capital letter, for "a" is a word.
_WHOLE = re.compile(rf"{_ROUND}{_NAMED}{_ROUND}(A|B|(?i:tie)){_ROUND}")
_LEADING = re.compile(rf"{_ROUND}{_NAMED}{_MARKUP}(A|B|(?i:tie))[*_\"'`)\]>]*(?:\s*[.,:;)—–-]|[^\S\n]*\n)")
_EITHER = re.compile(r"\b[AB] (?:or|and) (?:answer )?[AB]\b", re.IGNORECASE)
_LISTED = re.compile(r"^[^\w\n]*([AB])[*_\"']*:", re.MULTILINE)
_BRACKETS = re.compile(r"\[\[?\s*(A|B|C|(?i:tie))\s*\]?\]")
_CALLED = re.compile(
    r"\b(?i:verdict|winner|choice|preferred|preference|better|best|prefer|choose|pick|answer(?=:| is\b))\b"
    r"(?i: answer| response| one)?"
    rf"[\s*_\"'`]*(?i:[:=]|is\b)?\s*{_MARKUP}{_NAMED}{_MARKUP}\s*\b(A|B|(?i:tie))\b"
)
_ORDER = re.compile(r"\b([AB])\s*(>+|<+|=+|≻|≺)\s*([AB])\b")
_PRAISED = re.compile(
    r"\b([AB])[\"'*_)]*\s+(?:is|seems|looks|was|wins)\b\s*(?:clearly |slightly |much |far |the )*"
    r"(better|best|stronger|superior|preferred|preferable|winner|worse|weaker|inferior)\b"
)
_TIED = re.compile(r"\b(?:tie[ds]?|draw|equal(?:ly)?|neither|both|same quality)\b", re.IGNORECASE)
_ALONE = re.compile(rf"(?<![\w']){_NAMED}(A(?!\s+[a-z])|B)(?![\w'])")


class Verdict(NamedTuple):
    """Which of two answers is better.

    Attributes:
        value: for the answer shown as A: 1 if it is better, 0 if B is, one half for a tie; None where nothing can be
            read.
        start: where its label stands in the text, if there is one.
    """

    value: float | None
    start: int | None = None


def read_verdict(text: str) -> Verdict:
    """The verdict in a reply.

    Args:
        text: the reply, without thinking.
    """
    text = _EITHER.sub(lambda found: " " * len(found[0]), text)
    if found := _WHOLE.fullmatch(text):
        return _verdict_of(found)
    # "A: … B: …" goes through both; it chooses only in so many words.
    goes_through = len(set(_LISTED.findall(text))) == 2
    if not goes_through and (found := _LEADING.match(text)):
        return _verdict_of(found)
    for pattern in (_BRACKETS, _CALLED):
        if all_found := list(pattern.finditer(text)):
            return _verdict_of(all_found[-1])
    if goes_through:
        return Verdict(None)
    for first, sign, second in _ORDER.findall(text):
        if first != second:
            return Verdict(TIE if "=" in sign else _value(first if sign[0] in ">≻" else second))
    if found := _PRAISED.search(text):
        return Verdict(1.0 - _value(found[1])) if found[2] in ("worse", "weaker", "inferior") else _verdict_of(found)
    if _TIED.search(text):
        return Verdict(TIE)
    alone = list(_ALONE.finditer(text))
    return _verdict_of(alone[0]) if len({found[1] for found in alone}) == 1 else Verdict(None)


def _verdict_of(found: re.Match[str]) -> Verdict:
    return Verdict(_value(found[1]), found.start(1))


def _value(label: str) -> float:
    return {"A": FIRST, "B": SECOND}.get(label, TIE)


def read_ranking(text: str, labels: Sequence[str]) -> list[str]:
    """The labels in the order in which a reply ranks them, best first.

    In this order: the longest chain ("B > A > C", the last of equals); a numbered
    list; the labels that stand alone, as they first occur.

    Args:
        text: the reply, without thinking.
        labels: single capital letters.

    Returns:
        Those that are ranked, each once; fewer than two where nothing can be read. Labels that the judge left out
        are left out.
    """
    letter = f"[{''.join(labels)}]"
    named = rf"{_MARKUP}{_NAMED}{_MARKUP}({letter})\b[*_\"'`)\]]*"
    chain = re.compile(rf"(?<!\w){named}(?:\s*(?:>+|≻|,|=|→|->|\n)\s*{named})+")
    chains = [_once(re.findall(rf"\b{letter}\b", found[0])) for found in chain.finditer(text)]
    longest = max(reversed(chains), key=len, default=[])
    if len(longest) > 1:
        return longest
    numbered = _once(re.findall(rf"^\s*\d+[.):]\s*{named}", text, re.MULTILINE))
    if len(numbered) > 1:
        return numbered
    return _once(re.findall(rf"(?<![\w'])(?!A (?!is\b)[a-z]){letter}(?![\w'])", text))


def _once(labels: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(labels))
