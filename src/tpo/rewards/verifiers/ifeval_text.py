"""Words and sentences as IFEval counts them, which differs from how `tpo.rewards.text` does.

The benchmark splits sentences with NLTK's Punkt and capital words with its Treebank tokenizer. Both need data
from the network, so these are short rules in their place; docs/verifiers.md says how often they differ.
"""

from __future__ import annotations

import re

_WORD = re.compile(r"\w+")

# A stop, what may close after it, and a space: only there does a sentence end, never at a bare line break.
_STOP = re.compile(r"(?<![.!?])[.!?]++[\"'”’)\]}*_]*+(?=\s)")
# Never at the end of a sentence: something always follows.
# fmt: off
_TITLES = {
    "mr", "mrs", "ms", "dr", "prof", "rev", "gen", "col", "sen", "rep", "gov", "capt", "sgt", "lt", "st", "vs",
    "fig", "vol", "e.g", "i.e", "cf", "al",
}
# At the end of a sentence only if a capital letter follows.
_SHORTENED = {
    "jr", "sr", "etc", "inc", "ltd", "co", "corp", "bros", "dept", "jan", "feb", "mar", "apr", "jun", "jul", "aug",
    "sep", "sept", "oct", "nov", "dec", "a.m", "p.m", "u.s", "u.k", "u.n", "d.c", "ph.d", "b.c", "a.d", "approx",
    "ave", "blvd", "ft",
}
# fmt: on
_INITIALS = re.compile(r"(?:[a-hj-z]\.)*[a-hj-z]")  # "I." ends a sentence more often than it is a name
_OPENERS = "\"'“‘([{*_#-"

_TOKEN = re.compile(r"--|[^\s\"“”()\[\]{}<>,;:?!…#&@$%`]+")
_CONTRACTED = re.compile(r"(?<=.)(N['’]T|['’](?:S|M|D|LL|RE|VE))$", re.IGNORECASE)


def words(text: str) -> list[str]:
    """Runs of letters, digits and underscores: "don't" and "3.14" are two each."""
    return _WORD.findall(text)


def sentences(text: str) -> int:
    """How many sentences a text has; a list number such as "1." counts as one, a line without a stop does not."""
    text = text.strip()
    if not text:
        return 0
    return 1 + sum(_ends_sentence(text, stop) for stop in _STOP.finditer(text))


def _ends_sentence(text: str, stop: re.Match[str]) -> bool:
    if stop[0][0] != ".":
        return True
    before = text[max(0, stop.start() - 20) : stop.start()].split()
    word = before[-1].lower().lstrip(_OPENERS) if before else ""
    if word in _TITLES or (_INITIALS.fullmatch(word) and word not in _SHORTENED):
        return False
    if word not in _SHORTENED and not stop[0].startswith(".."):
        return True
    return text[stop.end() : stop.end() + 20].lstrip().lstrip(_OPENERS)[:1].isupper()


def capital_words(text: str) -> list[str]:
    """The words without a small letter; "well-known" is one word, "don't" two."""
    pieces = [piece for token in _TOKEN.findall(text) for piece in _CONTRACTED.split(token) if piece]
    return [piece for piece in pieces if piece.isupper()]
