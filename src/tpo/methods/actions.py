"""What a method may ask of the driver. A method is a generator: it yields actions and is sent results."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from tpo.candidate import Candidate
from tpo.prompts.prompt import Prompt


@dataclass(frozen=True, slots=True)
class Sample:
    """Draw `width` answers to a prompt; the method is sent a list of scored `Candidate`s, in a fixed order."""

    prompt: Prompt
    width: int


@dataclass(frozen=True, slots=True)
class Ask:
    """Put one prompt to a role; the method is sent the reply as text."""

    prompt: Prompt


Action: TypeAlias = Sample | Ask

Finish: TypeAlias = Literal["depth", "converged"]


class Outcome(NamedTuple):
    """What a method returns: its answer, and whether it went its whole depth or found nothing new."""

    chosen: Candidate
    stop: Finish


# A list of actions runs concurrently and is sent back as a list of results. What is sent depends on what was
# yielded, which Python's generator type cannot say: hence Any.
Search: TypeAlias = Generator[Action | list[Action], Any, Outcome]
