"""Reading a grade out of whatever a judge wrote. Nothing raises: a reply without a grade has a problem in words."""

from __future__ import annotations

import json
import math
import re
from typing import NamedTuple

from tpo.errors import InputError

MOST = 100

_NUMBER = r"(?<![\w.,/])-?\d+(?:[.,]\d+)?"
_GAP = r"(?:[^\w-]|_|-(?!\d)){0,10}"
# "Score: 7", "**Grade** (1-10): 7", '"rating": "7"', "<score>7", "my rating for this answer is 7".
_MARKED = re.compile(
    r"(?<![^\W_])(?:score|grade|rating|mark)(?![^\W_])(?:\s?[(\[][^)\]\n]{0,60}[)\]])?"
    rf"(?:[^\d\n]{{0,60}}?(?:[:=]|\b(?:is|of|at)\b))?{_GAP}({_NUMBER})",
    re.IGNORECASE,
)
_OUT_OF = re.compile(r"[\s*_]*(?:/|out of)[\s*_]*(\d+)", re.IGNORECASE)
_ANY = re.compile(_NUMBER)
_LABEL = re.compile(r"[#*_\s]*(?:critique|criticism|feedback|review)[*_\s]*:[*_\s]*", re.IGNORECASE)
# The words before a grade that ends the text: "My overall score is", "**Grade:**".
_LEADS_IN = re.compile(
    r"(?:^|(?<=[.!?\s]))[#*_\s]*(?:(?:my|the|overall|final)\s+)*(?:score|grade|rating|mark)\b[^.!?\n]{0,40}$",
    re.IGNORECASE,
)
_JSON = re.compile(r"\s*(?:```\w*\s*)?(\{.*\})[\s`]*", re.DOTALL)


class Scale(NamedTuple):
    """Whole numbers from `low`, the worst, to `high`, the best."""

    low: int = 1
    high: int = 10

    @classmethod
    def parse(cls, text: str) -> Scale:
        """A scale as a user writes it: "10" is 1 to 10, "0-4" is 0 to 4.

        Raises:
            InputError: it is neither, or a scale of one grade or of more than a hundred.
        """
        found = re.fullmatch(r"\s*(?:(\d{1,4})\s*[-–]\s*)?(\d{1,4})\s*", text)
        scale = cls(int(found[1] or 1), int(found[2])) if found else None
        if scale is None or not scale.low < scale.high <= MOST:
            raise InputError(f"scale={text}: give the highest grade (10) or both ends (0-4), at most {MOST}.")
        return scale

    @property
    def labels(self) -> dict[str, float]:
        """The labels that a judge may write, with their values."""
        return {str(grade): float(grade) for grade in range(self.low, self.high + 1)}

    def __str__(self) -> str:
        return f"{self.low}-{self.high}"


class ReadGrade(NamedTuple):
    """A grade as it was written.

    Attributes:
        value: the grade; NaN where there is none.
        start: where its number begins in the text.
        end: where it ends, with what it is out of.
        problem: why there is none.
    """

    value: float
    start: int | None = None
    end: int | None = None
    problem: str | None = None


def read_grade(text: str, scale: Scale) -> ReadGrade:
    """The grade in a reply.

    In this order: the last number that is called a score, grade, rating or mark; the last one that is out of
    something ("8/10"); the last number of all.

    Args:
        text: the reply, without thinking.
        scale: the allowed grades.
    """
    plain = _without_scale(text, scale)
    marked = [found.span(1) for found in _MARKED.finditer(plain)]
    outs = {found.start(1): float(found[1]) for found in _OUT_OF.finditer(plain)}
    numbers = [found.span() for found in _ANY.finditer(plain) if found.start() not in outs]
    if not numbers:
        return ReadGrade(math.nan, problem="the judge gave no grade")
    of_the_scale = [span for span in numbers if _out_of(plain, span[1], scale.high)]
    start, end = (marked or of_the_scale or numbers)[-1]
    value = float(plain[start:end].replace(",", "."))
    if out_of := _OUT_OF.match(plain, end):
        end = out_of.end()
        if float(out_of[1]) != scale.high:
            return ReadGrade(math.nan, start, end, f"the judge graded out of {float(out_of[1]):g}, not {scale.high}")
    if not scale.low <= value <= scale.high:
        return ReadGrade(math.nan, start, end, f"the judge's grade {value:g} is not from {scale.low} to {scale.high}")
    return ReadGrade(value, start, end)


def _out_of(text: str, end: int, high: int) -> bool:
    found = _OUT_OF.match(text, end)
    return found is not None and float(found[1]) == high


def critique_in(text: str, grade: ReadGrade) -> str | None:
    """The text of a reply without its grade; None where nothing is left.

    Args:
        text: the reply, without thinking.
        grade: the grade that was read in it.
    """
    if (fields := _json_texts(text)) is not None:
        return max(fields, key=len, default="").strip() or None
    if grade.start is None or grade.end is None:
        pass
    elif (lead := _LEADS_IN.search(text, 0, grade.start)) and not re.search(r"\w", text[grade.end :]):
        text = text[: lead.start()]
    else:
        begin = text.rfind("\n", 0, grade.start) + 1
        end = text.find("\n", grade.end)
        end = len(text) if end < 0 else end
        line = text[begin : grade.start] + text[grade.end : end]
        # A line that holds the grade and next to nothing else is no part of the critique.
        if len(re.findall(r"\w+", line)) <= 3:
            text = text[:begin] + text[end:]
    label = _LABEL.match(text)
    return (text[label.end() :] if label else text).strip() or None


def _json_texts(text: str) -> list[str] | None:
    found = _JSON.fullmatch(text)
    try:
        value = json.loads(found[1]) if found else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    return [field for field in value.values() if isinstance(field, str) and not field.strip().isdigit()]


def _without_scale(text: str, scale: Scale) -> str:
    """The text with mentions of the scale itself ("on a scale of 1 to 10") blanked, so that places stay."""
    ends = rf"(?<![\w.]){scale.low}\s*(?:-|–|—|to|and|through)\s*{scale.high}(?![\w]|\.\d)"
    other = r"\bscale\s+(?:of|from)\s+\d+\s*(?:-|–|—|to)\s*\d+|\b\d+-point scale"
    return re.sub(rf"{ends}|{other}", lambda found: " " * len(found[0]), text, flags=re.IGNORECASE)
