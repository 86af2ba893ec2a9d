"""Plain-text measures shared by the rewards: words, sentences, list items, code blocks.

Everything works on any Unicode text. Scripts written without spaces (Chinese, Japanese, Thai, …) are
handled character by character, since finding their words would take a dictionary.
"""

from __future__ import annotations

import re
import unicodedata

from tpo.prompts.extract import FENCE_MARK

# Scripts that put no space between words: Thai, Lao, Myanmar, Khmer, kana, Han ideographs.
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003134f"
# Vowel signs and accents are no word characters to `re`, so Hindi, Arabic or a decomposed é would
# otherwise fall apart in the middle of a word.
_MARKS = r"\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff"

_SPACED = rf"(?:(?![{_UNSPACED}])(?:[^\W_]|[{_MARKS}]))"

_WORD = re.compile(rf"[{_UNSPACED}]|{_SPACED}+(?:['’.,\-]{_SPACED}+)*")
_TOKEN = re.compile(rf"[{_UNSPACED}]|{_SPACED}+")
_UNSPACED_CHARACTER = re.compile(f"[{_UNSPACED}]")
_ASCII_TOKEN = re.compile(r"[a-z0-9]+")

_RULE_LINE = re.compile(r"[ \t]*([-*_])[ \t]*(?:\1[ \t]*){2,}$")
_ITEM = re.compile(r"[ \t]*(?:[-*+•‣–]|\(?\d{1,3}[.)])[ \t]+\S")
_MARKER = re.compile(r"^[ \t]*(?:[-*+•‣–>]|#{1,6}|\(?\d{1,3}[.)])(?:[ \t]+|$)", re.MULTILINE)
_FENCE = re.compile(rf"[ \t]{{0,3}}({FENCE_MARK})")
# A full stop ends a sentence only before a space; a full-width one anywhere.
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’»)\]*_]*(?=\s|$)|[。！？｡]+[」』”’）]*|[।॥؟۔]+(?=\s|$)")
_ABBREVIATION = re.compile(
    r"\b(?:e\.g|i\.e|etc|vs|cf|approx|mr|mrs|ms|dr|prof|st|no|fig|jr|sr|[a-z])\.$", re.IGNORECASE
)


def words(text: str) -> list[str]:
    """The words as a person counts them: "don't", "3.14" and "well-known" are one each."""
    return _WORD.findall(text)


def tokens(text: str) -> list[str]:
    """The words for comparison: composed, case-folded, split at every punctuation mark."""
    if text.isascii():
        return _ASCII_TOKEN.findall(text.lower())
    return _TOKEN.findall(unicodedata.normalize("NFC", text).casefold())


def is_unspaced(token: str) -> bool:
    """Whether a token is one character of a script that is written without spaces."""
    return len(token) == 1 and token > "\u0dff" and _UNSPACED_CHARACTER.match(token) is not None


def fold(text: str) -> str:
    """The text for a search that ignores case and how accents are encoded."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def outside_code(text: str) -> list[str]:
    """The lines that stand in no fenced code block, the fences themselves left out."""
    lines: list[str] = []
    fence = ""
    for line in text.splitlines():
        mark = _FENCE.match(line)
        if mark is None:
            if not fence:
                lines.append(line)
        elif not fence:
            fence = mark[1]
        elif mark[1].startswith(fence):
            fence = ""
    return lines


def open_fence(text: str) -> bool:
    """Whether a fenced code block is begun and not closed."""
    fence = ""
    for line in text.splitlines():
        mark = _FENCE.match(line)
        if mark is not None:
            fence = mark[1] if not fence else "" if mark[1].startswith(fence) else fence
    return bool(fence)


def list_items(text: str) -> list[str]:
    """The lines that are list items ("- x", "* x", "• x", "1. x", "2) x"), at any depth, outside code."""
    return [line for line in outside_code(text) if _ITEM.match(line) and not _RULE_LINE.match(line)]


def sentences(text: str) -> list[str]:
    """The sentences, code left out; a list item or a paragraph that ends without a stop is one too."""
    found: list[str] = []
    for line in _MARKER.sub("", "\n".join(outside_code(text))).splitlines():
        start = 0
        for end in _SENTENCE_END.finditer(line):
            if not _ABBREVIATION.search(line, max(start, end.end() - 10), end.end()):
                found.append(line[start : end.end()])
                start = end.end()
        found.append(line[start:])
    return [sentence.strip() for sentence in found if any(map(str.isalnum, sentence))]
