"""The search methods, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

from tpo.candidate import Candidate
from tpo.errors import InputError
from tpo.messages import Conversation
from tpo.methods.actions import Action, Ask, Outcome, Sample, Search
from tpo.methods.best_of_n import best_of_n
from tpo.methods.pool import Pool
from tpo.methods.revision import revision
from tpo.methods.sample import sample
from tpo.methods.tpo import tpo
from tpo.methods.tpo_fused import tpo_fused
from tpo.prompts.prompt_set import PromptSet

__all__ = ["METHODS", "Action", "Ask", "Candidate", "Method", "Outcome", "Pool", "Sample", "Search", "find_method"]

MAX_WIDTH = 1024
MAX_DEPTH = 100


@dataclass(frozen=True, slots=True)
class Method:
    """A search method and which of the two dials it has.

    Attributes:
        name: as users write it.
        search: the generator function.
        has_width: takes `width`; without it one answer is drawn.
        has_depth: takes `depth`; without it there are no update steps.
    """

    name: str
    search: Callable[..., Search]
    has_width: bool = True
    has_depth: bool = True

    @property
    def needs_reward(self) -> bool:
        """Whether it picks between answers, which takes a reward."""
        return self.has_width

    def start(self, query: Conversation, *, width: int, depth: int, prompts: PromptSet) -> Search:
        """Begin a search; a dial that the method lacks is ignored."""
        dials = {"width": width} if self.has_width else {}
        if self.has_depth:
            dials["depth"] = depth
        return self.search(query, prompts=prompts, **dials)

    def dials(self, width: int, depth: int) -> tuple[int, int]:
        """The width and depth that a search really has.

        Raises:
            InputError: a dial is out of range.
        """
        for dial, value, low, high in (("width", width, 1, MAX_WIDTH), ("depth", depth, 0, MAX_DEPTH)):
            if not low <= value <= high:
                raise InputError(f"The {dial} is {value}; it goes from {low} to {high}.")
        return (width if self.has_width else 1), (depth if self.has_depth else 0)


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("tpo", tpo),
        Method("tpo-fused", tpo_fused),
        Method("revision", revision),
        Method("best-of-n", best_of_n, has_depth=False),
        Method("sample", sample, has_width=False, has_depth=False),
    )
}


def find_method(name: str) -> Method:
    """The method of that name.

    Raises:
        InputError: there is none; the message lists those there are.
    """
    if name in METHODS:
        return METHODS[name]
    near = get_close_matches(name, METHODS, n=1)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    raise InputError(f"There is no method {name!r}: choose one of {', '.join(METHODS)}.{guess}")
