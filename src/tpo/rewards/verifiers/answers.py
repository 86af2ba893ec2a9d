"""Finding in an answer what is to be checked: the final answer, the JSON, the code."""

from __future__ import annotations

import re
import unicodedata
from itertools import zip_longest
from typing import NamedTuple

from tpo.prompts.extract import FENCE_MARK

TAKES = ("auto", "last-line", "marker", "boxed", "whole")

# "Answer: 42", "**Final answer:** 42", "The answer is: 42"; what stands in front on the line does not count.
_MARKER = re.compile(r"\banswer[ \t]?(?:is)?[ \t]?[*_]{0,3}[ \t]?[:：][ \t]?[*_]{0,3}(.*)", re.IGNORECASE)
_BOX = re.compile(r"\\(?:boxed|fbox)\s{0,9}\{")
# "The answer is 42.", "the final answer is $x = 3$"; up to the end of the sentence or line.
_SENTENCE = re.compile(
    r"\banswer[ \t]+(?:is|equals|=)[ \t]{0,9}:?[ \t]{0,9}(.{1,500}?)(?=[.!]?[ \t]{0,9}$|[.!][ \t]{1,9}[A-Z])",
    re.I | re.M,
)
_END = 8000  # characters; a result stands at the end
_LONGEST_BOX = 5000
_FENCE = re.compile(rf"([ \t]*)({FENCE_MARK})(.*)")
# Where Python ends a line: str.splitlines would also break a string at a form feed or U+2028.
_LINE_END = re.compile(r"\r\n|\n|\r")
_WRAPPINGS = "*_`\"'“”‘’«»$"
_LOUD = re.compile(rf"(?<=[^\W\d_]{{2}})[!.。{_WRAPPINGS} ]+$")


class Marked(NamedTuple):
    """The part of an answer that it marks as its result.

    Attributes:
        kind: "boxed", "marker" ("Answer: …"), "sentence" ("the answer is …"), "unfinished" (the answer ends inside
            its last box) or "none".
        text: the part; None for the last two kinds.
    """

    kind: str
    text: str | None


def marked(text: str) -> Marked:
    r"""The result that an answer marks: by its last \boxed{}, else "Answer:", else "the answer is"."""
    box = _last_box(text)
    if box is not None:
        return Marked("boxed", box.strip()) if box.strip() else Marked("none" if box else "unfinished", None)
    if (found := after_marker(text)) is not None:
        return Marked("marker", found)
    sentences = _SENTENCE.findall(text[-_END:])
    if sentences and sentences[-1].strip():
        return Marked("sentence", sentences[-1].strip())
    return Marked("none", None)


def final_answer(text: str, take: str = "auto") -> str | None:
    r"""The part of an answer that is its result.

    Args:
        text: the whole answer.
        take: "boxed" is the content of the last \boxed{}; "marker" what follows the last "Answer:", on its line
            or the next one with text; "last-line" the last line with text; "whole" everything; "auto" the first
            of boxed, marker and last-line that exists. An answer that ends inside its last box has neither "boxed"
            nor "auto".

    Returns:
        The part, or None where there is none.
    """
    if take == "whole":
        return text.strip() or None
    if take == "boxed":
        return boxed(text)
    if take == "marker":
        return after_marker(text)
    if take == "auto":
        if _last_box(text) is not None:
            return boxed(text)
        if (found := after_marker(text)) is not None:
            return found
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), None)


def boxed(text: str) -> str | None:
    r"""The content of the last \boxed{} or \fbox{}; None without one, or where the last is empty or never closed."""
    return (_last_box(text) or "").strip() or None


def _last_box(text: str) -> str | None:
    """As `boxed`, but empty where the last box is never closed."""
    opened = list(_BOX.finditer(text))
    if not opened:
        return None
    start, depth = opened[-1].end(), 1
    for position in range(start, min(len(text), start + _LONGEST_BOX)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[start:position]
    return ""


def after_marker(text: str) -> str | None:
    """What follows the last "Answer:" on its line or, if that is bare, the next line with text; None without one."""
    lines = text.splitlines()
    for number in range(len(lines) - 1, -1, -1):
        marks = _MARKER.search(lines[number])
        if marks:
            rest = [marks[1], *lines[number + 1 :]]
            return next((line.strip() for line in rest if line.strip(" \t*_")), None)
    return None


# Small raised and lowered digits: 10⁵ is not 105.
_SMALL = re.compile("[⁰¹²³⁴-⁻ⁿ₀-₉]+")


def normalised(text: str) -> str:
    """For comparison: compatible characters alike (raised and lowered digits stay what they are), case, spaces,
    wrapping quotes or markup and a final stop gone; an exclamation mark is a stop only behind a word."""
    parts, kept = _SMALL.split(text), _SMALL.findall(text)
    plain = [unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", part).casefold()) for part in parts]
    line = " ".join("".join(map("".join, zip_longest(plain, kept, fillvalue=""))).split())
    line = _LOUD.sub("", line.strip(_WRAPPINGS + " "))
    return line.rstrip(".。" + _WRAPPINGS + " ")


def unfenced(text: str) -> str:
    """The content, if the text is one fenced block and nothing else; else the text itself."""
    body = text.strip()
    opening, newline, rest = body.partition("\n")
    if not newline or not re.fullmatch(r"```\w*[ \t\r]*", opening) or not rest.endswith("```"):
        return body
    return rest.removesuffix("```").strip()


def last_code(text: str) -> str | None:
    """The content of the last fenced code block, also of one that is not closed; None without any.

    A block in a list stands as far to the right as its fence, and is moved back.
    """
    found: str | None = None
    fence, indent, lines = "", 0, list[str]()
    for line in _LINE_END.split(text):
        mark = _FENCE.match(line)
        if mark is not None and not fence:
            fence, indent, lines = mark[2], len(mark[1]), []
        elif mark is not None and mark[2].startswith(fence) and not mark[3].strip() and len(mark[1]) <= indent + 3:
            found, fence = "\n".join(lines), ""
        elif fence:
            lines.append(line[:indent].lstrip(" \t") + line[indent:])
    return "\n".join(lines) if fence else found


def clipped(text: str, limit: int = 200) -> str:
    """The text in one line of at most `limit` characters."""
    line = " ".join(text[: limit * 4].split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
