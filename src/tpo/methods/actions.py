"""The actions that a method may yield. A method is a generator: it yields actions and is sent their results."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from tpo.candidate import Candidate
from tpo.prompts.prompt import Prompt


@dataclass(frozen=True, slots=True)
class Sample:
    """Draw `width` answers to a prompt; the method is sent a list of scored `Candidate`s, in a fixed order.

    Where a reward compares all answers, older candidates whose reward has changed follow the `width` new ones, of
    several actions those of the last `Sample`; `Pool.add` takes both.

    Attributes:
        prompt: what to answer.
        width: how many answers.
        temperature: sampling temperature; the run's unless given.
        stop: texts that end an answer, besides those of the request.
        max_tokens: completion tokens per answer; the run's unless given.
        seed: seed of the first answer, the next one has one more; made of the run's seed unless given.
        prefix: how each answer begins; the model continues it, and the candidate's text includes it. Needs a server
            that continues an assistant's message, such as vLLM or llama.cpp.
    """

    prompt: Prompt
    width: int
    temperature: float | None = None
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    seed: int | None = None
    prefix: str = ""

    @property
    def sampling(self) -> dict[str, Any] | None:
        """What it decides about sampling itself; None where it leaves all to the run."""
        values = {name: getattr(self, name) for name in ("temperature", "stop", "max_tokens", "seed", "prefix")}
        return {name: value for name, value in values.items() if value not in (None, (), "")} or None


@dataclass(frozen=True, slots=True)
class Ask:
    """Send one prompt to a role; the method is sent the `Reply`.

    Attributes:
        prompt: what is asked.
        closing: the search draws no answer after it, so that it needs no share of a total budget.
    """

    prompt: Prompt
    closing: bool = False


@dataclass(frozen=True, slots=True)
class ScoreTexts:
    """Score texts that are no answers of the query, parts of one for instance.

    The method is sent a list of `Candidate`s without ids, one for each text in its order. They do not compete for the
    answer.
    """

    texts: tuple[str, ...]


Action: TypeAlias = Sample | Ask | ScoreTexts


class Reply(str):
    """The reply to an `Ask`, as text.

    Attributes:
        tokens: completion tokens that it took, reasoning included; 0 where an old journal does not record it.
    """

    tokens: int

    def __new__(cls, text: str, tokens: int = 0) -> Reply:
        """A reply of so many tokens."""
        reply = super().__new__(cls, text)
        reply.tokens = tokens
        return reply


class BudgetSpent(Exception):
    """Raised in a method where it yielded, when the run has no tokens left, or the prompt does not fit the context.

    A method need not catch it: the best answer so far counts then.
    """


Finish: TypeAlias = Literal["depth", "converged", "enough", "budget"]


class Outcome(NamedTuple):
    """What a method returns.

    Attributes:
        chosen: the answer.
        stop: "depth" where it went its whole depth, "converged" where nothing new was found, "enough" where a stop
            rule saw that more answers would not pay, "budget" where it caught `BudgetSpent`.
    """

    chosen: Candidate
    stop: Finish


# A list of actions runs concurrently and is sent back as a list of results. What is sent depends on what was
# yielded, which Python's generator type cannot express: hence Any.
Search: TypeAlias = Generator[Action | list[Action], Any, Outcome]
