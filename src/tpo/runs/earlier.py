"""What the queries of a run that are over teach those that begin later: the lifts of the method's prompts.

The sums are exact fractions, so the order in which queries are added makes no difference, and a run that is continued
comes to the same numbers from its journal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction

from tpo.engine.records import Record
from tpo.engine.state import SearchState, candidate_of
from tpo.methods.lifts import Lift, Wave, lifts_of


class EarlierQueries:
    """The queries of a run that are over.

    Args:
        maximum: the largest reward that there is, where it is known.
    """

    def __init__(self, maximum: float | None) -> None:
        self._maximum = maximum
        self._weights: defaultdict[str, Fraction] = defaultdict(Fraction)
        self._sums: defaultdict[str, Fraction] = defaultdict(Fraction)

    def add(self, records: Sequence[Record]) -> None:
        """Add a query by its journal; one whose search did not come to an end teaches nothing."""
        state = SearchState(records)
        if state.ended is None:
            return
        for name, lift in lifts_of(_waves(state), self._maximum).items():
            self._weights[name] += Fraction(lift.weight)
            self._sums[name] += Fraction(lift.weight) * Fraction(lift.mean)

    @property
    def lifts(self) -> dict[str, Lift]:
        """The lift of each prompt over all queries so far."""
        return {name: Lift(float(weight), float(self._sums[name] / weight)) for name, weight in self._weights.items()}


def _waves(state: SearchState) -> list[Wave]:
    """The rewards of a search by turn and prompt; a failure or a leak counts as the worst answer of all."""
    answers = [(sampled, candidate_of(sampled, scored)) for sampled, scored in state.answers]
    worst = min((one.reward for _, one in answers if one.reward is not None), default=0.0)
    waves: defaultdict[int, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for sampled, one in answers:
        reward = worst if one.reward is None or one.leaked is not None else one.reward
        waves[sampled.turn][state.prompted[sampled.turn, sampled.action].name].append(reward)
    return list(waves.values())
