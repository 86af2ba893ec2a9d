"""Requirements first, then a reward: one number for both."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from tpo.messages import Conversation
from tpo.rewards.call import connect, score
from tpo.rewards.protocol import Reward, Score, is_relative, maximum_of
from tpo.rewards.require import Requirements
from tpo.rewards.rules import Rule


class Gate:
    """An answer that keeps more requirements beats one that keeps fewer; among equals the base reward decides.

    Args:
        requirements: n rules.
        base: the reward that decides between answers that keep the same number of rules.

    For k rules kept and a base reward x the value is (k + squash(x)) / (n + 1), in (0, 1). See `squash` for
    how finely it separates base rewards.
    """

    def __init__(self, requirements: Requirements, base: Reward) -> None:
        self.requirements = requirements
        self.base = base
        self.relative = is_relative(base)

    @property
    def name(self) -> str:
        """Both names: the gate scores differently when either does."""
        return f"gate@1({self.requirements.name}, {self.base.name})"

    @property
    def maximum(self) -> float | None:
        """The value of an answer that keeps all rules and has the base's largest reward, where that is known."""
        best, rules = maximum_of(self.base), len(self.requirements.rules)
        return None if best is None else (rules + squash(best)) / (rules + 1)

    async def score(self, conversations: Sequence[Conversation]) -> list[Score]:
        """Score by both, at the same time.

        Returns:
            A score for each conversation. Its parts are every rule, the base's own value under the base's
            name, and the base's parts under that name and a dot. A value is NaN where the base's is no
            finite number. The feedback is the requirements', followed by the base's.

        Raises:
            RewardError: the base failed, or returned too few or too many scores.
        """
        kept, based = await asyncio.gather(self.requirements.score(conversations), score(self.base, conversations))
        return [self._combined(*pair) for pair in zip(kept, based, strict=True)]

    @property
    def inside(self) -> list[Reward]:
        """The base reward."""
        return [self.base]

    async def connect(self) -> None:
        """Connect the base."""
        await connect(self.base)

    def _combined(self, kept: Score, base: Score) -> Score:
        title = self.base.name.partition("@")[0]
        inner = {f"{title}.{name}": value for name, value in base.parts.items()}
        feedback = [words for words in (kept.feedback, base.feedback) if words]
        rules = len(self.requirements.rules)
        value = (sum(kept.parts.values()) + squash(base.value)) / (rules + 1)
        missing = kept.missing | {f"{title}.{name}": words for name, words in base.missing.items()}
        return Score(value, {**kept.parts, title: base.value, **inner}, ". ".join(feedback), missing)


def gated(base: Reward | None, rules: Sequence[Rule | str]) -> Reward:
    """Put rules before a reward.

    Args:
        base: what decides between answers that keep as many; None where the rules alone decide.
        rules: at least one.

    Raises:
        InputError: a rule is not understood.
    """
    requirements = Requirements(rules)
    if base is None:
        return requirements
    return Gate(requirements, base)


def squash(x: float) -> float:
    """Any finite number into (0, 1), in the same order; NaN for all else.

    It is (1 + x / (1 + |x|)) / 2. A logistic curve would call all logits beyond 37 equal; this one never
    saturates, but float64 ends somewhere: with n rules, base rewards near x stay apart when they differ by
    more than 4e-15 (n + 1) (1 + |x|)². That is 4e-11 at 30 with eight rules, 0.04 at a million. Beyond 1e12 a base
    reward may tie with one more rule kept.
    """
    return (1 + x / (1 + abs(x))) / 2 if math.isfinite(x) else math.nan
