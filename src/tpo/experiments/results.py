"""The outcomes of an experiment as numbers by query: seeds are averaged inside a query, and queries are paired."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import groupby
from statistics import fmean

from tpo.evals.benchmarks.protocol import Column
from tpo.experiments.bank import Draw
from tpo.experiments.outcomes import CandidateOutcome, QueryOutcome

REWARD = "reward"
Measure = Callable[[QueryOutcome], float | None]
# What a single candidate is worth.
Worth = Callable[[CandidateOutcome], float | None]


class ModelResults:
    """The outcomes of one model.

    Args:
        model: its label.
        outcomes: of all cells that are reported.
        methods: labels in the order in which they are shown.
        columns: the benchmark's; the first is the main one. Empty without a benchmark.
        bank: the label of the bank; None without one.
        maximum: the largest reward that there is, where it is known.

    Attributes:
        methods: the labels of those that have a number in the main column for some query.
        unmeasured: the labels of the others, such as `sample` where there is no benchmark and so a reward alone.
    """

    def __init__(
        self,
        model: str,
        outcomes: Sequence[QueryOutcome],
        methods: Iterable[str],
        columns: Sequence[Column],
        bank: str | None,
        maximum: float | None,
    ) -> None:
        self.model = model
        self.columns = list(columns)
        self.bank_label = bank
        self.maximum = maximum
        self._by_method: dict[str, dict[str, list[QueryOutcome]]] = defaultdict(lambda: defaultdict(list))
        for one in outcomes:
            if one.model == model:
                self._by_method[one.method][one.query].append(one)
        drawn = [label for label in methods if label in self._by_method]
        self.methods = [label for label in drawn if self.queries([label], main_of(self))]
        self.unmeasured = [label for label in drawn if label not in self.methods]
        self.seeds = sorted({one.seed for one in outcomes if one.model == model})

    @property
    def worth(self) -> Worth:
        """What a single candidate is worth: its grade, or its reward without a benchmark."""
        return (lambda seen: seen.value) if self.columns else (lambda seen: seen.reward)

    @property
    def main(self) -> Column:
        """What methods are compared by: the benchmark's main column, or the reward."""
        return self.columns[0] if self.columns else Column(REWARD, "reward", "reward", "mean reward of the answers")

    def outcomes(self, method: str, query: str) -> list[QueryOutcome]:
        """The outcomes of a query, one for each seed."""
        return self._by_method[method][query]

    def queries(self, methods: Iterable[str], measure: Measure | None = None) -> list[str]:
        """The queries that all of some methods have, in a fixed order.

        Args:
            methods: their labels.
            measure: leave out the queries that lack it in one of the methods, so that values can be paired.
        """
        sets = [
            {
                query
                for query in self._by_method[label]
                if measure is None or self.value(label, measure, query) is not None
            }
            for label in methods
        ]
        return sorted(set.intersection(*sets)) if sets else []

    @cached_property
    def shared(self) -> list[str]:
        """The queries that have a number in the main column with each method."""
        return self.queries(self.methods, main_of(self))

    def values(self, method: str, measure: Measure, queries: Sequence[str]) -> list[float]:
        """A number for each query that has one: the mean over seeds."""
        return [value for query in queries if (value := self.value(method, measure, query)) is not None]

    def value(self, method: str, measure: Measure, query: str) -> float | None:
        """A query's number: the mean over seeds; None where no seed has one."""
        found = [value for one in self.outcomes(method, query) if (value := measure(one)) is not None]
        return fmean(found) if found else None

    @cached_property
    def bank(self) -> dict[str, list[list[CandidateOutcome]]]:
        """The candidates of the bank by query, a list for each seed, those without a reward or a grade included.

        Only banks that drew all that they could are kept: a search that stopped early holds a biased sample.
        """
        if self.bank_label is None or self.bank_label not in self._by_method:
            return {}
        drawn = {
            query: [one.candidates for one in outcomes] for query, outcomes in self._by_method[self.bank_label].items()
        }
        size = max((self._usable(some) for banks in drawn.values() for some in banks), default=0)
        # A failed call leaves an answer or two fewer; a stop rule leaves far fewer.
        kept = {
            query: [some for some in banks if self._usable(some) >= 0.8 * size > 0] for query, banks in drawn.items()
        }
        return {query: banks for query, banks in kept.items() if banks}

    def bank_size(self) -> int:
        """How many answers with a reward and a grade each query of the bank has at least."""
        return min((self._usable(some) for banks in self.bank.values() for some in banks), default=0)

    def _usable(self, some: Sequence[CandidateOutcome]) -> int:
        return sum(seen.reward is not None and self.worth(seen) is not None for seen in some)

    def draws(self, query: str, measure: Worth | None = None) -> list[list[Draw]]:
        """The answers with a reward of a query's bank, a list for each seed.

        What the others took is part of the price of these: empty answers of a model that only reasoned, for instance.

        Args:
            query: its hash.
            measure: what a candidate is worth; by the main column, or its reward, unless given.
        """
        worth = measure or self.worth
        found = []
        for some in self.bank.get(query, []):
            lost = sum(seen.tokens for seen in some if seen.reward is None) / _scored(some)
            found.append(
                [
                    Draw(seen.reward, value, seen.tokens + lost, seen.leaked)
                    for seen in some
                    if seen.reward is not None and (value := worth(seen)) is not None
                ]
            )
        return found

    def fresh(self, method: str, query: str) -> list[CandidateOutcome]:
        """The bank's answers to a query that a method's plain answers are not among.

        With a seed both draw the same plain answers in the same place of the same wave. The method went on because its
        own were not good enough, so those are no fair sample for what a further answer would have brought.
        """
        drawn = {
            (one.seed, place)
            for one in self.outcomes(method, query)
            for place, seen in _by_place(one.candidates)
            if not seen.later
        }
        banks = self.bank.get(query, [])
        return [
            seen
            for one in (self.outcomes(self.bank_label or "", query) if banks else ())
            if one.candidates in banks
            for place, seen in _by_place(one.candidates)
            if (one.seed, place) not in drawn
        ]


def _by_place(some: Sequence[CandidateOutcome]) -> Iterator[tuple[tuple[int, int], CandidateOutcome]]:
    """Candidates with their places: the wave, and the number in it."""
    for wave, seen in groupby(some, lambda one: one.step):
        for number, one in enumerate(seen):
            yield (wave, number), one


def _scored(some: Sequence[CandidateOutcome]) -> int:
    return sum(seen.reward is not None for seen in some)


def main_of(results: ModelResults) -> Measure:
    """What an answer is worth in the main column."""
    name = results.main.name
    return (lambda one: one.reward) if name == REWARD else (lambda one: one.values.get(name))


def tokens_of(one: QueryOutcome) -> float:
    """Completion tokens of all roles."""
    return one.completion


def growth(results: ModelResults, method: str, queries: Sequence[str]) -> float | None:
    """By which share answers are longer than first samples, of means over queries; None without texts."""
    first = results.values(method, lambda one: one.first.characters, queries)
    last = results.values(method, lambda one: one.characters, queries)
    return fmean(last) / fmean(first) - 1 if first and fmean(first) else None
