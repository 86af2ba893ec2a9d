"""Candidates as templates see them, and the texts in a template's variables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tpo.candidate import Candidate


class Shown(str):
    """A candidate in a template: its text, with `feedback`, `reward`, `id` and `leaked` as attributes."""

    feedback: str
    reward: float | None
    id: str
    leaked: str | None

    def __new__(cls, candidate: Candidate) -> Shown:
        """Show a candidate."""
        shown = super().__new__(cls, candidate.text)
        shown.feedback, shown.reward, shown.id = candidate.feedback or "", candidate.reward, candidate.id
        shown.leaked = candidate.leaked
        return shown


def shown(value: Any) -> Any:
    """A variable as templates see it: candidates as their texts, in lists and dictionaries too."""
    match value:
        case Candidate():
            return Shown(value)
        case dict():
            return {name: shown(one) for name, one in value.items()}
        case list() | tuple():
            return [shown(one) for one in value]
    return value


def texts_in(value: Any) -> Iterator[str]:
    """The texts in a variable, each candidate's feedback included."""
    match value:
        case Shown():
            yield value
            yield value.feedback
        case str():
            yield value
        case dict():
            for one in value.values():
                yield from texts_in(one)
        case list():
            for one in value:
                yield from texts_in(one)
