"""`verifier:math`: the final answer equals the reference as mathematics, by math-verify."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import NamedTuple

from tpo.errors import InputError
from tpo.rewards.protocol import Score
from tpo.rewards.verifiers.answers import clipped, final_answer, marked
from tpo.rewards.verifiers.exact import Accepted, accepted_by, revealed
from tpo.rewards.verifiers.notation import ReadAnswer, differ, number_in, read
from tpo.rewards.verifiers.references import References
from tpo.rewards.verifiers.verifier import Verifier, yes_or_no
from tpo.rewards.verifiers.worker import Worker, WorkerStopped

_END = 8000  # characters; a result stands at the end


class MathVerdict(NamedTuple):
    """Whether a solution is right.

    Attributes:
        right: whether its final answer equals the reference.
        found: the part that was taken as its final answer; None where there is none.
        fault: what is wrong, in words; None where nothing is.
    """

    right: bool
    found: str | None
    fault: str | None


class Math(Verifier[Accepted]):
    r"""Whether the final answer equals the reference: 1/2, 0.5 and \frac{1}{2} are the same.

    `verifier:math`, MATH-500 and GSM8K grade with it; docs/evaluation.md says what it accepts.

    Args:
        reference: the right answer, several that are all right, or one for each query. Of a reference in GSM8K's form
            what follows "####" counts.
        reveal: whether the feedback holds the right answer.
        seconds: how long one comparison may take; an answer that takes longer is wrong.

    Raises:
        InputError: math-verify is not installed, or a reference is empty.
    """

    version = 2

    def __init__(
        self, reference: str | Sequence[str] | References[Accepted], *, reveal: bool = False, seconds: float = 5.0
    ) -> None:
        if find_spec("math_verify") is None:
            raise InputError("verifier:math needs the package math-verify: pip install 'tpo[verifiers]'.")
        super().__init__("math", accepted_by(reference), ["reveal"] if reveal else [])
        self._reveal = reveal
        self._worker = Worker("tpo.rewards.verifiers.math_task:compare", seconds)

    def check(self, answer: str, reference: Accepted) -> Score:
        """Compare one answer."""
        verdict = self.grade(answer, reference)
        if verdict.fault is None:
            return yes_or_no("math", None, "the final answer is right")
        return yes_or_no("math", f"{verdict.fault}{revealed(tuple(map(_result, reference)), self._reveal)}", "")

    def grade(self, solution: str, reference: Accepted) -> MathVerdict:
        """Whether the final answer of a solution equals one of the right answers."""
        wanted = [read(_result(one)) for one in reference]
        found = math_answer(solution)
        if found is None:
            words = final_answer(solution)
            if words is not None and read(words).text in {one.text for one in wanted if one.text}:
                return MathVerdict(True, words, None)
            return MathVerdict(False, None, "no final answer was found: end with the result alone, as in \\boxed{…}")
        wrong = MathVerdict(False, found, f'the final answer, read as "{clipped(found)}", is wrong')
        right = MathVerdict(True, found, None)
        reading = read(found)
        if reading.text and any(reading.text == one.text for one in wanted):
            return right
        accepted = [form for one in wanted if not differ(reading, one) for form in _forms(reading, one)]
        if reading.latex is None or not accepted:
            return wrong
        try:
            return right if self._worker({"answer": reading.latex, "accepted": accepted})["right"] else wrong
        except WorkerStopped:
            late = "the final answer could not be compared in time: write it out as a plain number or expression"
            return MathVerdict(False, found, late)


def math_answer(solution: str) -> str | None:
    r"""The final answer of a solution, or None.

    The last \boxed{}, else what follows the last "Answer:" or "the answer is", else the last number or formula. A
    solution that ends inside its last \boxed{ has none.
    """
    mark = marked(solution)
    if mark.kind == "unfinished":
        return None
    if mark.kind == "boxed":
        return mark.text
    if mark.text is None:
        return number_in(solution[-_END:])
    # A sentence may go on behind the result: "70000 dollars a year, since …".
    return mark.text if read(mark.text).latex is not None else number_in(mark.text, only=True) or mark.text


def _forms(reading: ReadAnswer, wanted: ReadAnswer) -> list[str]:
    """What a right answer may read like: where only one of the two has a percent sign, as it is or by a hundred."""
    if wanted.latex is None:
        return []
    if "%" not in (reading.unit, wanted.unit) or reading.unit == wanted.unit:
        return [wanted.latex]
    by_hundred = f"\\frac{{{wanted.latex}}}{{100}}" if wanted.unit == "%" else f"100\\cdot ({wanted.latex})"
    return [wanted.latex, by_hundred]


def _result(reference: str) -> str:
    return reference.rpartition("####")[2].strip()
