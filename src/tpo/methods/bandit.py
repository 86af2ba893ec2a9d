"""A bandit over ways to get answers: the next ones come from the way that promises the most reward per token.

Each arm has a belief about the rewards of its answers (a normal-inverse-gamma posterior, as the nodes of AB-MCTS have,
arXiv 2503.04412). What counts is by how much the next answer exceeds the best so far, per token: gains fade as the best
rises, rewards do not, so early arms have no advantage. A Thompson draw from the beliefs decides for each answer, and so
splits a wave over several arms.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence

from tpo.candidate import Candidate
from tpo.methods.stopping import RewardPrior, usual_prior

# The arm that draws from the query alone: what the others are expected to give is measured from it.
PLAIN = "resample"
# In answers: how much the expectation of an arm weighs against what its answers show.
WEIGHT = 2.0


class Bandit:
    """What a search knows of its arms.

    Args:
        lifts: for each arm, by how much its answers are expected to exceed plain ones before any was seen, in standard
            deviations of the rewards.
        costs: what an answer of an arm is expected to take before any was drawn, in plain answers; 1 unless given.
        maximum: the largest reward that there is, where it is known.
        rng: makes the draws.
    """

    def __init__(
        self, lifts: Mapping[str, float], costs: Mapping[str, float], maximum: float | None, rng: random.Random
    ) -> None:
        self._lifts = lifts
        self._costs = costs
        self._maximum = maximum
        self._rng = rng
        self._candidates: dict[str, list[Candidate]] = {arm: [] for arm in (PLAIN, *lifts)}
        # Critiques, and other replies for an arm's answers.
        self._other_tokens: dict[str, int] = dict.fromkeys(self._candidates, 0)

    def record(self, arm: str, candidates: Iterable[Candidate], other_tokens: int = 0) -> None:
        """Take in an arm's answers.

        Args:
            arm: where they came from.
            candidates: the answers.
            other_tokens: tokens of other replies, critiques for instance.
        """
        self._candidates[arm] += candidates
        self._other_tokens[arm] += other_tokens

    def renew(self, candidates: Iterable[Candidate]) -> None:
        """Take in the latest rewards of answers that it knows: a reward that compares answers changes old ones."""
        latest = {one.id: one for one in candidates}
        for arm, known in self._candidates.items():
            self._candidates[arm] = [latest.get(one.id, one) for one in known]

    def belief(self, arm: str) -> RewardPrior:
        """What is believed of the rewards of an arm's answers."""
        plain = usual_prior(self._rewards(PLAIN), self._maximum).after(self._rewards(PLAIN))
        if arm == PLAIN:
            return plain
        mean = plain.mean + self._lifts[arm] * math.sqrt(plain.variance)
        if self._maximum is not None:
            mean = min(mean, self._maximum)
        # The variance has the weight of two answers: of one, the expected gain would be infinite.
        return RewardPrior(mean, WEIGHT, 2, plain.variance).after(self._rewards(arm))

    def split(self, arms: Sequence[str], size: int, best: float) -> dict[str, int]:
        """How many of the next answers come from each arm.

        Args:
            arms: the arms that have something to work with.
            size: how many answers are drawn.
            best: the best reward so far.
        """
        beliefs = {arm: self.belief(arm) for arm in arms}
        prices = {arm: self._tokens(arm) for arm in arms}
        shares = dict.fromkeys(arms, 0)
        for _ in range(size):
            worth = {arm: self._possible_gain(beliefs[arm], best) / prices[arm] for arm in arms}
            shares[max(arms, key=worth.__getitem__)] += 1
        return {arm: share for arm, share in shares.items() if share}

    def expected_gain(self, arms: Iterable[str], best: float) -> float:
        """By how much the next answer of the most promising arm is expected to exceed the best so far."""
        return max(self._below_maximum(self.belief(arm).gain_over, best) for arm in arms)

    def _possible_gain(self, belief: RewardPrior, best: float) -> float:
        """The expected gain under one mean and variance that the belief holds possible (a Thompson draw)."""
        freedom = belief.variance_weight
        variance = belief.variance * freedom / (2 * self._rng.gammavariate(freedom / 2, 1) or 1.0)
        spread = math.sqrt(variance) if math.isfinite(variance) else 0.0
        mean = self._rng.gauss(belief.mean, spread / math.sqrt(belief.mean_weight))
        return self._below_maximum(lambda bar: _normal_gain(mean - bar, spread), best)

    def _below_maximum(self, gain_over: Callable[[float], float], best: float) -> float:
        """A gain, of which nothing can lie above the largest reward that there is."""
        beyond = gain_over(self._maximum) if self._maximum is not None else 0.0
        return max(gain_over(best) - beyond, 0.0)

    def _rewards(self, arm: str) -> list[float]:
        """The rewards of an arm's answers; a failure or a leak counts as the worst answer of all."""
        seen = [one.reward for answers in self._candidates.values() for one in answers if one.reward is not None]
        if not seen:
            return []
        worst = min(seen)
        return [worst if one.reward is None or one.leaked is not None else one.reward for one in self._candidates[arm]]

    def _tokens(self, arm: str) -> float:
        """What an answer of an arm takes, critiques included."""
        answers = self._candidates[arm]
        if answers:
            return max((sum(one.tokens for one in answers) + self._other_tokens[arm]) / len(answers), 1.0)
        known = [one.tokens for others in self._candidates.values() for one in others]
        return max(self._costs.get(arm, 1.0) * sum(known) / max(len(known), 1), 1.0)


def _normal_gain(lead: float, spread: float) -> float:
    """The part of a normal variable above a bar that its mean leads by so much."""
    if spread <= 0:
        return max(lead, 0.0)
    u = lead / spread
    return lead * (1 + math.erf(u / math.sqrt(2))) / 2 + spread * math.exp(-u * u / 2) / math.sqrt(2 * math.pi)
