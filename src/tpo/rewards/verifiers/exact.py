"""`verifier:exact`: the final answer reads like the reference, but for case, spaces and wrapping marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tpo.errors import InputError
from tpo.rewards.protocol import Score
from tpo.rewards.verifiers.answers import TAKES, clipped, final_answer, normalised
from tpo.rewards.verifiers.references import References, as_references
from tpo.rewards.verifiers.verifier import Verifier, yes_or_no

# The answers that are right: any one of them will do.
Accepted = tuple[str, ...]


class Exact(Verifier[Accepted]):
    """Whether the final answer equals the reference after `answers.normalised`.

    Args:
        reference: the right answer, several that are all right, or one for each query.
        take: which part of an answer is compared; see `answers.final_answer`.
        reveal: whether the feedback contains the right answer.

    Raises:
        InputError: a reference is empty, or `take` is unknown.
    """

    version = 2

    def __init__(
        self, reference: str | Sequence[str] | References[Accepted], take: str = "auto", *, reveal: bool = False
    ) -> None:
        if take not in TAKES:
            raise InputError(f"What to take is {take!r}; it can be {', '.join(TAKES)}.")
        super().__init__("exact", accepted_by(reference), [f"take={take}", *(["reveal"] if reveal else [])])
        self._take = take
        self._reveal = reveal

    def check(self, answer: str, reference: Accepted) -> Score:
        """Compare one answer."""
        found = final_answer(answer, self._take)
        if found is None:
            return yes_or_no("exact", f"{_NOTHING[self._take]}{revealed(reference, self._reveal)}.", "")
        right = normalised(found) in {normalised(one) for one in reference}
        fault = f'the final answer, "{clipped(found)}", is wrong{revealed(reference, self._reveal)}'
        return yes_or_no("exact", None if right else fault, "the final answer is right")


_NOTHING = {
    "auto": "the answer is empty",
    "last-line": "the answer is empty",
    "whole": "the answer is empty",
    "marker": 'there is no line "Answer: …" that gives the final answer',
    "boxed": "there is no \\boxed{…} that holds the final answer",
}


def revealed(reference: Accepted, reveal: bool) -> str:
    """The right answer for the end of a sentence, if it may be revealed."""
    return f"; right is {clipped(' or '.join(reference))}" if reveal else ""


def accepted_by(given: str | Sequence[str] | References[Accepted]) -> References[Accepted]:
    """References of accepted answers from what a user gave.

    Raises:
        InputError: there is no answer, or an empty one.
    """
    if isinstance(given, References):
        return given
    try:
        return as_references(accepted(given))
    except ValueError as error:
        raise InputError(f"The reference cannot be used: {error}.") from error


def accepted(value: Any) -> Accepted:
    """The answers that a field holds: a text, a number, or a list of them.

    Raises:
        ValueError: it holds anything else, or nothing.
    """
    entries = list(value) if isinstance(value, list | tuple) else [value]
    if not entries or not all(isinstance(entry, str | int | float) for entry in entries):
        raise ValueError(f"the reference {clipped(repr(value), 80)} is no text, number or list of them")
    texts = tuple(str(entry).lower() if isinstance(entry, bool) else str(entry) for entry in entries)
    if not all(text.strip() for text in texts):
        raise ValueError("the reference is empty")
    return texts
