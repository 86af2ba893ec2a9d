"""Selection and stop rules on the bank of a model: what each brings for each query, without any call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from tpo.experiments.bank import Draw, Expected, at_tokens, best_of, first_at, hedged, overall, soft, stopped
from tpo.experiments.results import ModelResults
from tpo.methods.stopping import StopRule

PRICES = (0.01, 0.02, 0.05)
WAVES: tuple[tuple[int, ...], ...] = ((1,), (2,), (2, 5, 8), (5,))
SHARPNESS = (3.0, 10.0)
MEANS = (2.0, 8.0)
WIDTHS = (1, 2, 3, 4, 5, 8, 10, 15, 16, 20, 32, 50, 64, 100, 128)

Rule = Callable[[Sequence[Draw]], Expected]


class Evaluated(NamedTuple):
    """A rule on the bank.

    Attributes:
        label: what it is called.
        queries: the queries.
        each: what it brings for each.
        stops: it may leave a part of the bank undrawn.
    """

    label: str
    queries: list[str]
    each: list[Expected]
    stops: bool = False

    @property
    def mean(self) -> Expected:
        """Its mean over queries."""
        return overall(self.each)


def evaluated(results: ModelResults) -> list[Evaluated]:
    """Best-of-n by n, soft and hedged choices, the first answer at the maximum, and Bayes stops at some prices."""
    if not results.bank:
        return []
    found = [_on_bank(results, label, rule) for label, rule in _choices(results)]
    return found + [_on_bank(results, label, rule)._replace(stops=True) for label, rule in _stops(results)]


def reference(results: ModelResults) -> Evaluated | None:
    """Best-of-n over the whole bank, which stop rules are compared with; None without a bank."""
    size = results.bank_size()
    return _on_bank(results, f"best of {size}", lambda bank: best_of(bank, size)) if size else None


def _choices(results: ModelResults) -> Iterator[tuple[str, Rule]]:
    size = results.bank_size()
    for n in sorted({n for n in WIDTHS if n < size} | {size}):
        yield f"best of {n}", lambda bank, n=n: best_of(bank, n)  # type: ignore[misc]
    for sharpness in SHARPNESS:
        yield f"soft:{sharpness:g}, of {size}", lambda bank, s=sharpness: soft(bank, s)  # type: ignore[misc]
    for mean in MEANS:
        yield f"hedged:{mean:g}, of {size}", lambda bank, mean=mean: hedged(bank, mean)  # type: ignore[misc]


def _stops(results: ModelResults) -> Iterator[tuple[str, Rule]]:
    size, maximum = results.bank_size(), results.maximum
    if maximum is not None:
        yield f"first at {maximum:g}, of {size}", lambda bank: first_at(bank, maximum, size)
    for wave in WAVES:
        for price in PRICES:
            rule = StopRule(price, maximum)
            label = f"Bayes stop, price {price:g}, wave {','.join(map(str, wave))}"
            yield label, lambda bank, rule=rule, wave=wave: stopped(bank, rule, size, wave)  # type: ignore[misc]


def _on_bank(results: ModelResults, label: str, rule: Rule) -> Evaluated:
    queries = sorted(results.bank)
    return Evaluated(label, queries, [overall([rule(one) for one in results.draws(query)]) for query in queries])


def curve_of(results: ModelResults, queries: Sequence[str], *, stops: bool) -> Callable[[int], list[Expected]]:
    """Best-of-n by n on some queries of the bank.

    Args:
        results: the model's outcomes.
        queries: those that are wanted.
        stops: stop at the first answer that reaches the maximum.
    """
    banks = [results.draws(query) for query in queries]
    maximum = results.maximum

    def at(n: int) -> list[Expected]:
        if stops and maximum is not None:
            return [overall([first_at(one, maximum, n) for one in some]) for some in banks]
        return [overall([best_of(one, n) for one in some]) for some in banks]

    return at


def matched(
    results: ModelResults, queries: Sequence[str], tokens: float, *, stops: bool
) -> tuple[float, list[Expected]] | None:
    """Best-of-n at a mean spending of completion tokens; None without a bank over these queries.

    Args:
        results: the model's outcomes.
        queries: those that the other method answered.
        tokens: what that spent for a query on average.
        stops: best-of-n stops at the first answer that reaches the maximum, as its wave of 1 does.
    """
    if not queries or any(query not in results.bank for query in queries):
        return None
    return at_tokens(curve_of(results, queries, stops=stops), results.bank_size(), tokens)
