r"""MATH-500: whether the final answer of a solution is right (Lightman et al., 2023, arXiv 2305.20050).

The answer is taken from the last \boxed{}, else from what follows "Answer:" or "the answer is", else math-verify
picks it; it is compared as mathematics, as `verifier:math` does. Two things that math-verify lets pass are wrong here:
a number in another base (52_9 for 52_8), and a small decimal that only rounds to the right one.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from tpo.rewards.verifiers.answers import after_marker, boxed
from tpo.rewards.verifiers.maths import Math

# "The answer is 42.", "the final answer is $x = 3$"; up to the end of the sentence or line.
_STATED = re.compile(
    r"\banswer[ \t]+(?:is|equals|=)[ \t]{0,9}:?[ \t]{0,9}(.{1,500}?)(?=[.!]?[ \t]{0,9}$|[.!][ \t]{1,9}[A-Z])",
    re.I | re.M,
)

_END = 8000  # characters; a result stands at the end
_IN_BASE = re.compile(r"[0-9A-Z]+_(?:\{|\\text\{)*(\d+)\}*")
_DECIMAL = re.compile(r"[-+]?\d*\.\d+")


class Grade(NamedTuple):
    """What became of a solution.

    Attributes:
        right: whether its final answer is the reference's.
        found: the part taken as its final answer; None where none is marked as such.
        why: what the verifier says, in words.
    """

    right: bool
    found: str | None
    why: str


def final_answer(solution: str) -> str | None:
    """The part of a solution that it marks as its result; None where it marks none."""
    found = boxed(solution) or after_marker(solution)
    if found:
        return found
    stated = _STATED.findall(solution[-_END:])
    return stated[-1].strip() or None if stated else None


class Grader:
    """Grades solutions; it keeps a process for comparing, so use one for all of them.

    Args:
        seconds: how long one comparison may take; an answer that takes longer is wrong.

    Raises:
        InputError: math-verify is not installed.
    """

    def __init__(self, seconds: float = 5.0) -> None:
        # The verifier is given the reference of each solution; the one at the start is never used.
        self._verifier = Math("0", seconds=seconds)

    def grade(self, solution: str, reference: str) -> Grade:
        """Whether the final answer of a solution equals a reference answer."""
        found = final_answer(solution)
        shown = solution if found is None else f"\\boxed{{{found}}}"
        if found is not None and _differ(found, reference):
            return Grade(False, found, "the final answer is another number than the right one")
        score = self._verifier.check(shown, (reference,))
        return Grade(score.value == 1.0, found, score.feedback or "")


def _differ(found: str, reference: str) -> bool:
    """Whether two plain numbers differ in a way that math-verify does not see."""
    one, other = (re.sub(r"\\?[\s$]|\\[,!;]", "", text) for text in (found, reference))
    bases = [match[1] for match in map(_IN_BASE.fullmatch, (one, other)) if match]
    if len(bases) == 2:
        return bases[0] != bases[1]
    if _DECIMAL.fullmatch(one) and _DECIMAL.fullmatch(other):
        return not math.isclose(float(one), float(other), rel_tol=1e-6)
    return False
