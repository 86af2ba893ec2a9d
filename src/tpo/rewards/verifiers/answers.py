"""Finding in an answer what is to be checked: the final answer, the JSON, the code."""

from __future__ import annotations

import re
import unicodedata

TAKES = ("auto", "last-line", "marker", "boxed", "whole")

# "Answer: 42", "**Final answer:** 42", "The answer is: 42"; what stands in front on the line does not count.
_MARKER = re.compile(r"\banswer[ \t]?(?:is)?[ \t]?[*_]{0,3}[ \t]?[:：][ \t]?[*_]{0,3}(.*)", re.IGNORECASE)
_BOX = re.compile(r"\\(?:boxed|fbox)\s{0,9}\{")
_FENCE = re.compile(r"[ \t]{0,3}(`{3,}|~{3,})(.*)")
_WRAPPINGS = "*_`\"'“”‘’«»$"


def final_answer(text: str, take: str = "auto") -> str | None:
    r"""The part of an answer that is its result.

    Args:
        text: the whole answer.
        take: "boxed" is the content of the last \boxed{}; "marker" what follows the last "Answer:", on its line
            or the next one with text; "last-line" the last line with text; "whole" everything; "auto" the first
            of boxed, marker and last-line that is there.

    Returns:
        The part, or None where there is none.
    """
    if take == "whole":
        return text.strip() or None
    if take == "boxed":
        return boxed(text)
    if take == "marker":
        return after_marker(text)
    if take == "last-line":
        return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), None)
    return boxed(text) or after_marker(text) or final_answer(text, "last-line")


def boxed(text: str) -> str | None:
    r"""The content of the last complete \boxed{} or \fbox{}; None without one."""
    # From the last on: the first that closes is the last complete one.
    for match in reversed(list(_BOX.finditer(text))[-20:]):
        depth = 1
        for position in range(match.end(), min(len(text), match.end() + 5000)):
            depth += {"{": 1, "}": -1}.get(text[position], 0)
            if depth == 0:
                return text[match.end() : position].strip() or None
    return None


def after_marker(text: str) -> str | None:
    """What follows the last "Answer:" on its line or, if that is bare, the next line with text; None without one."""
    lines = text.splitlines()
    for number in range(len(lines) - 1, -1, -1):
        marks = _MARKER.search(lines[number])
        if marks:
            rest = [marks[1], *lines[number + 1 :]]
            return next((line.strip() for line in rest if line.strip(" \t*_")), None)
    return None


def normalised(text: str) -> str:
    """For comparison: compatible characters alike, case, spaces, wrapping quotes or markup and a final stop gone."""
    line = " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).split())
    return line.strip(_WRAPPINGS + " ").rstrip(".!。" + _WRAPPINGS + " ")


def unfenced(text: str) -> str:
    """The content, if the text is one fenced block and nothing else; else the text itself."""
    body = text.strip()
    opening, newline, rest = body.partition("\n")
    if not newline or not re.fullmatch(r"```\w*[ \t\r]*", opening) or not rest.endswith("```"):
        return body
    return rest.removesuffix("```").strip()


def last_code(text: str) -> str | None:
    """The content of the last fenced code block, also of one that is not closed; None without any."""
    found: str | None = None
    fence, lines = "", list[str]()
    for line in text.splitlines():
        mark = _FENCE.match(line)
        if mark is None:
            lines.append(line)
        elif not fence:
            fence, lines = mark[1], []
        elif mark[1].startswith(fence) and not mark[2].strip():
            found, fence = "\n".join(lines), ""
        else:
            lines.append(line)
    return "\n".join(lines) if fence else found


def clipped(text: str, limit: int = 200) -> str:
    """The text in one line of at most `limit` characters."""
    line = " ".join(text[: limit * 4].split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
