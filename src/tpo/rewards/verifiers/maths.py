"""`verifier:math`: the final answer equals the reference as mathematics, by math-verify."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from tpo.errors import InputError
from tpo.rewards.protocol import Score
from tpo.rewards.verifiers.answers import after_marker, boxed, clipped, final_answer, normalised
from tpo.rewards.verifiers.exact import Accepted, accepted_by, told
from tpo.rewards.verifiers.references import References
from tpo.rewards.verifiers.verifier import Verifier, yes_or_no
from tpo.rewards.verifiers.worker import Worker, WorkerStopped

_END = 8000  # characters; a result stands at the end, and the parsers slow down with length


class Math(Verifier[Accepted]):
    r"""Whether the final answer equals the reference: 1/2, 0.5 and \frac{1}{2} are the same.

    The final answer is the last \boxed{}, else what follows the last "Answer:", else what math-verify picks from
    the whole. A reference in GSM8K's form is what follows its "####". An answer that reads exactly like the
    reference is right even if it is no mathematics.

    Args:
        reference: the right answer, several that are all right, or one for each query.
        reveal: whether the feedback tells the right answer.
        seconds: how long one comparison may take; an answer that takes longer is wrong.

    Raises:
        InputError: math-verify is not installed, or a reference is empty.
    """

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
        wanted = [one.rpartition("####")[2].strip() for one in reference]
        box = boxed(answer)
        result = f"\\boxed{{{box}}}" if box else after_marker(answer) or answer[-_END:]
        same = normalised(final_answer(answer) or "")
        if same and same in map(normalised, wanted):
            return yes_or_no("math", None, "the final answer is right")
        try:
            verdict = self._worker({"answer": result[-_END:], "accepted": wanted})
        except WorkerStopped:
            fault = "the final answer could not be compared in time: write it out as a plain number or expression"
            return yes_or_no("math", fault, "")
        if verdict["right"]:
            return yes_or_no("math", None, "the final answer is right")
        truth = told(tuple(wanted), self._reveal)
        if verdict["found"] is None:
            fault = f"no final answer was found: end with the result alone, as in \\boxed{{…}}{truth}"
        else:
            fault = f'the final answer, read as "{clipped(verdict["found"])}", is wrong{truth}'
        return yes_or_no("math", fault, "")
