"""The share of IFEval's rules that an answer keeps, for comparisons in which no search may stop at a known maximum.

--reward "python:recipes.small.shares:Worded?file=PART.jsonl"    # with the check's words
--reward "python:recipes.small.shares:Bare?file=PART.jsonl"      # a bare number, as a reward model gives
"""

from __future__ import annotations

from collections.abc import Sequence

from tpo.messages import Conversation
from tpo.rewards import Score
from tpo.rewards.resolve import resolve


class Worded:
    """The check of IFEval, without its maximum.

    Args:
        file: the queries with their rules, as IFEval has them.
    """

    def __init__(self, file: str) -> None:
        reward = resolve(f"verifier:ifeval?file={file}").reward
        assert reward is not None
        self._check = reward

    async def score(self, conversations: Sequence[Conversation]) -> list[Score | float]:
        """Score each answer."""
        return list(await self._check.score(conversations))


class Bare(Worded):
    """The same as a number alone."""

    async def score(self, conversations: Sequence[Conversation]) -> list[Score | float]:
        """Score each answer."""
        found = await super().score(conversations)
        return [one.value if isinstance(one, Score) else one for one in found]
