"""Reading replies: the answer without the model's reasoning, tags and preamble.

Small models seldom keep a requested format, so every rule here falls back to the one below it, and the last is the
reply as it stands. Nothing raises, and text never comes back empty when the reply had an answer in it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_THINK = "think|thinking|thought|reasoning|reflection"
_THINKING = re.compile(rf"\s*<({_THINK})>.*?</\1>", re.DOTALL | re.IGNORECASE)
_UNFINISHED_THINKING = re.compile(rf"\s*<({_THINK})>", re.IGNORECASE)
# Some chat templates open the block themselves, so that the reply only ever closes it.
_CLOSED_ONLY = re.compile(rf"^[ \t]*</({_THINK})>[ \t]*$", re.MULTILINE | re.IGNORECASE)
# How a fenced block of code begins, on a line of its own (CommonMark, section 4.5). What follows backticks there holds
# none, or it is code within the line: ```f()``` returns 1.
FENCE_MARK = r"(?:`{3,}(?=[^`\n]*$)|~{3,})"
_FENCE = re.compile(rf"^[ \t]*({FENCE_MARK})[^\n]*\n.*?(?:^[ \t]*\1[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_INLINE_CODE = re.compile(r"`[^`\n]+`")
_PREAMBLE = re.compile(
    r"\s*(?:(?:sure|certainly|of course|okay|ok|absolutely|great)\b[^\n]{0,40}?[,.!:]\s*)?"
    r"(?:here(?:'s| is| are)|below is|this is|the following is)\b[^\n]{0,120}"
    r"\b(?:answer|version|response|text|rewrite|reply)\b[^\n:]{0,60}:[ \t*]*(?:\n+|$)",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"\s*(?:#+ *)?\**(?:the )?(?:improved|revised|updated|rewritten|new|final) (?:answer|version|response)"
    r"\**:\**[ \t]*\n*",
    re.IGNORECASE,
)
_WRAPPED = re.compile(r"(```+)(?:text|markdown|md|plaintext)?[ \t]*\n(.*)\n\1", re.DOTALL)
_NOTHING_IN_IT = re.compile(
    r"[\s.…\-_*]*|\W*(?:the |your )?(?:improved |updated )?(?:answer|text)(?: goes)?(?: here)?\W*", re.I
)


def without_reasoning(reply: str) -> str:
    """The reply without its thinking block; empty when the block was never closed."""
    rest = reply
    while found := _THINKING.match(rest):
        rest = rest[found.end() :]
    if _UNFINISHED_THINKING.match(rest):
        return ""
    if found := next((f for f in _CLOSED_ONLY.finditer(rest) if not _in_code(f.start(), _code(rest))), None):
        rest = rest[found.end() :]
    return rest if rest == reply else rest.strip()


def read_answer(reply: str, *, tags: Sequence[str]) -> str:
    """The updated answer in a reply whose prompt requires tags around it.

    In this order: the last pair of tags outside code that holds something; what follows a tag that was never closed;
    what precedes a tag that was never opened; the reply without its preamble, label or wrapping fence.
    """
    text = _without_unfinished_tag(without_reasoning(reply).strip(), tags)
    if (wrapped := _WRAPPED.fullmatch(text)) and _between(wrapped[2], tags) is not None:
        text = wrapped[2]
    inside = _between(text, tags)
    if inside is not None:
        return inside
    return _bare(text) or text


def _without_unfinished_tag(text: str, tags: Sequence[str]) -> str:
    # A reply that was cut may end within a tag; a part of one is no answer.
    at = text.rfind("<")
    rest = text[at:].lower() if at >= 0 else ""
    if rest and any(f"{mark}{tag.lower()}>".startswith(rest) and len(rest) > 1 for tag in tags for mark in ("<", "</")):
        return text[:at].rstrip()
    return text


def _between(text: str, tags: Sequence[str]) -> str | None:
    code = _code(text)
    names = "|".join(map(re.escape, tags))
    marks = [m for m in re.finditer(rf"<(/?)\s*(?:{names})\s*>", text, re.IGNORECASE) if not _in_code(m.start(), code)]
    if not marks:
        return None
    # Pairs are matched by depth, so that an answer which itself contains the tags keeps them.
    inside, outside, depth, start, end = [], [], 0, 0, 0
    for mark in marks:
        if not mark[1]:
            if depth == 0:
                outside.append(text[end : mark.start()])
                start = mark.end()
            depth += 1
        elif depth:
            depth -= 1
            end = mark.end()
            if depth == 0:
                inside.append(text[start : mark.start()])
        else:  # closed, never opened
            outside.append(text[end : mark.start()])
            end = mark.end()
    (inside if depth else outside).append(text[start if depth else end :])
    held = [piece.strip() for piece in inside if not _NOTHING_IN_IT.fullmatch(piece)]
    if held:
        return held[-1]
    # The tags hold nothing: the answer is before, between or behind them, if it is anywhere.
    around = [_bare(piece) for piece in outside if not _NOTHING_IN_IT.fullmatch(piece)]
    return max(around, key=len, default="")


def _bare(text: str) -> str:
    text = _PREAMBLE.sub("", text, count=1) if _PREAMBLE.match(text) else text
    text = _LABEL.sub("", text, count=1) if _LABEL.match(text) else text
    text = text.strip()
    wrapped = _WRAPPED.fullmatch(text)
    return (wrapped[2] if wrapped else text).strip()


def _code(text: str) -> list[tuple[int, int]]:
    fences = [found.span() for found in _FENCE.finditer(text)]
    inline = [found.span() for found in _INLINE_CODE.finditer(text) if not _in_code(found.start(), fences)]
    return fences + inline


def _in_code(position: int, code: list[tuple[int, int]]) -> bool:
    return any(start <= position < end for start, end in code)
