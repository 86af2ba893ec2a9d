"""Statistics of a few hundred queries: means, shares, paired differences and tests, for runs, checks and evals.

The unit is a query; queries count as independent. Intervals have 95 %. docs/evaluation.md has how often they hold the
true value, which `benchmarks/coverage.py` measures.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any

import msgspec

from tpo.errors import InputError

_Z = NormalDist().inv_cdf(0.975)
_MANY = 400  # degrees of freedom from which a series for Student's t is exact to nine digits
_EXACT = 16  # differences that all sign flips are tried of
_FLIPS, _AT_ONCE = 20_000, 1_000
_ROUNDS = 1_000  # of a bootstrap


class Estimate(msgspec.Struct, frozen=True):
    """A mean and how sure it is.

    Attributes:
        value: the mean.
        error: its standard error; None for a single query.
        low: where the 95 % interval begins; None for a single query, unless it is a share.
        high: where it ends.
        n: how many queries it is over; 0 where a file of an earlier version does not have it.
    """

    value: float
    error: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0

    def __str__(self) -> str:
        return self.shown(1)

    def shown(self, digits: int) -> str:
        """The number with its interval, where it has one; zero has no sign."""
        if self.low is None or self.high is None:
            return fixed(self.value, digits)
        return f"{fixed(self.value, digits)} [{fixed(self.low, digits)}, {fixed(self.high, digits)}]"

    def times(self, scale: float) -> Estimate:
        """The same in another unit, such as percent."""
        return self._each(lambda part: scale * part)

    def rounded(self, digits: int) -> Estimate:
        """The same with so many decimals."""
        return self._each(lambda part: round(part, digits))

    def _each(self, change: Callable[[float], float]) -> Estimate:
        error, low, high = (None if part is None else change(part) for part in (self.error, self.low, self.high))
        return Estimate(change(self.value), error, low, high, self.n)


def fixed(value: float, digits: int) -> str:
    """A number with so many decimals; what rounds to zero has no sign."""
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


class Running:
    """Mean and spread of numbers that are not kept (Welford's algorithm, which loses no digits)."""

    def __init__(self, values: Sequence[float] = ()) -> None:
        self.n = 0
        self._mean = self._squares = 0.0
        for value in values:
            self.add(value)

    def add(self, value: float) -> None:
        """Count a number."""
        self.n += 1
        gap = value - self._mean
        self._mean += gap / self.n
        self._squares += gap * (value - self._mean)

    def mean(self) -> Estimate | None:
        """The mean with Student's interval; None without numbers."""
        if not self.n:
            return None
        if self.n == 1:
            return Estimate(self._mean, None, None, None, 1)
        error = math.sqrt(self._squares / (self.n - 1) / self.n)
        half = student(self.n - 1) * error
        return Estimate(self._mean, error, self._mean - half, self._mean + half, self.n)

    def share(self) -> Estimate | None:
        """The mean of numbers from 0 to 1 with Wilson's interval (1927), which stays within 0 and 1.

        Ties (one half) spread less than wins and losses, so Wilson's formula gets as many queries without ties as
        would spread like these.
        """
        if not self.n:
            return None
        plain, p = self.mean(), min(max(self._mean, 0.0), 1.0)
        assert plain is not None
        binary = self.n * p * (1 - p)
        spread = self._squares + _tied(self.n, p, self._squares)
        n = self.n * max(1.0, binary / spread) if binary > spread > 0 else float(self.n)
        centre = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z / (1 + _Z**2 / n) * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n * n))
        return msgspec.structs.replace(plain, low=max(centre - half, 0.0), high=min(centre + half, 1.0))


def _tied(n: int, p: float, squares: float) -> float:
    """What is added to the spread for ties, so that a few queries that all tie do not look like certainty.

    The factor was chosen by simulated coverage (`benchmarks/coverage.py`).
    """
    ties = 4 * (n * p * (1 - p) - squares)  # exact where all values are 0, one half or 1
    return 0.08 * min(ties, 4.0) if ties > 1e-9 else 0.0


def mean_of(values: Sequence[float], scale: float = 1.0) -> Estimate:
    """The mean of values, with Student's interval.

    Args:
        values: one for each query.
        scale: what the mean is multiplied with.

    Raises:
        InputError: there is no value, or one is not a finite number.
    """
    found = Running(_finite(values)).mean()
    assert found is not None
    return found.times(scale)


def share_of(values: Sequence[float], scale: float = 1.0) -> Estimate:
    """The mean of values that are mostly 0 and 1, with Wilson's interval; a tie is one half. See `Running.share`.

    Values elsewhere between 0 and 1 (partial credit) get Student's interval, cut off at 0 and 1.

    Raises:
        InputError: as `mean_of`.
    """
    running = Running(_finite(values))
    if all(value in (0.0, 0.5, 1.0) for value in values):
        found = running.share()
        assert found is not None
        return found.times(scale)
    plain = running.mean()
    assert plain is not None
    if plain.low is None or plain.high is None:
        return plain.times(scale)
    return msgspec.structs.replace(plain, low=max(plain.low, 0.0), high=min(plain.high, 1.0)).times(scale)


def difference_of(values: Sequence[float], others: Sequence[float], scale: float = 1.0) -> Estimate:
    """How far values are above others of the same queries, on average.

    Where all are 0 or 1, the interval is that of Agresti and Min (2005, Statistics in Medicine 24): half a query is
    added to each of the four outcomes of a pair, so that few queries that all agree do not look like certainty. Else
    it is Student's over the differences.

    Args:
        values: one for each query.
        others: those that they are compared with, in the same order.
        scale: as for `mean_of`.

    Raises:
        InputError: as `mean_of`.
    """
    gaps = [value - other for value, other in zip(values, others, strict=True)]
    plain = mean_of(gaps)
    if not all(value in (0.0, 1.0) for value in (*values, *others)):
        return plain.times(scale)
    count = len(gaps) + 2
    apart, net = sum(map(abs, gaps)) + 1, sum(gaps)
    half = _Z * math.sqrt(max(apart - net**2 / count, 0.0)) / count
    low, high = max(net / count - half, -1.0), min(net / count + half, 1.0)
    return msgspec.structs.replace(plain, low=low, high=high).times(scale)


def mcnemar(wins: int, losses: int) -> float:
    """The exact two-sided p-value of McNemar's test: queries that only one of two methods gets right.

    Args:
        wins: queries that only the first gets right.
        losses: queries that only the second gets right.
    """
    n, few = wins + losses, min(wins, losses)
    chance: float = 2 * sum(math.comb(n, k) for k in range(few + 1)) / 2**n
    return min(1.0, chance)


def sign_flips(differences: Sequence[float], seed: int = 0) -> float:
    """The two-sided p-value of paired differences: how often flipping their signs gives a mean as far from zero.

    Exact up to 16 differences that are not zero, else from 20,000 seeded draws.
    """
    gaps = [gap for gap in differences if gap]
    observed = abs(math.fsum(gaps)) * (1 - 1e-12)
    if len(gaps) <= _EXACT:
        sums = [0.0]
        for gap in gaps:
            sums = [total + sign * gap for total in sums for sign in (1, -1)]
        return sum(abs(total) >= observed for total in sums) / len(sums)
    import numpy as np  # here, so that what only takes means does not load it

    draw, sizes, beyond = np.random.default_rng(seed), np.array(gaps), 0
    for _ in range(_FLIPS // _AT_ONCE):
        signs = draw.integers(0, 2, (_AT_ONCE, len(gaps)), dtype=np.int8)
        beyond += int((np.abs(2 * (signs @ sizes) - sizes.sum()) >= observed).sum())
    return (beyond + 1) / (_FLIPS + 1)


def paired_p(values: Sequence[float], others: Sequence[float]) -> float:
    """The two-sided p-value of a paired difference: McNemar's exact test where all values are 0 or 1, else sign flips.

    Args:
        values: one for each query.
        others: those that they are compared with, in the same order.
    """
    gaps = [value - other for value, other in zip(values, others, strict=True)]
    if all(value in (0.0, 1.0) for value in (*values, *others)):
        return mcnemar(gaps.count(1.0), gaps.count(-1.0))
    return sign_flips(gaps)


def weighted_difference_of(
    values: Sequence[float],
    others: Sequence[float],
    weights: Sequence[float],
    other_weights: Sequence[float],
    scale: float = 1.0,
    seed: int = 0,
) -> Estimate:
    """How far a weighted mean of values is above that of others of the same queries.

    The interval is a bootstrap over queries, of which both means get the same ones.

    Args:
        values: one for each query.
        others: those that they are compared with, in the same order.
        weights: how much each value counts, above 0.
        other_weights: how much each of the others counts.
        scale: as for `mean_of`.
        seed: of the bootstrap.

    Raises:
        InputError: as `mean_of`.
    """
    import numpy as np  # here, so that what only takes means does not load it

    sides = np.array([_sums(values, weights), _sums(others, other_weights)])
    value, n = float(_gaps(*sides.sum(axis=1))), len(values)
    if n == 1:
        return Estimate(value, None, None, None, n).times(scale)
    draw = np.random.default_rng(seed)
    drawn = [float(_gaps(*sides[:, draw.integers(0, n, n)].sum(axis=1))) for _ in range(_ROUNDS)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Estimate(value, float(np.std(drawn)), float(low), float(high), n).times(scale)


def weighted_p(
    values: Sequence[float],
    others: Sequence[float],
    weights: Sequence[float],
    other_weights: Sequence[float],
    seed: int = 0,
) -> float:
    """The two-sided p-value of a weighted difference: how often swapping sides in queries gives one as far from zero.

    With equal weights a swap flips a sign, as in `sign_flips`. Exact or drawn as there.

    Args:
        values: as for `weighted_difference_of`.
        others: as there.
        weights: as there.
        other_weights: as there.
        seed: of the draws.
    """
    import numpy as np

    sides = np.array([_sums(values, weights), _sums(others, other_weights)])
    ours, theirs = sides.sum(axis=1)
    moves = sides[1] - sides[0]
    moves = moves[moves.any(axis=1)]
    count, observed = len(moves), abs(_gaps(ours, theirs)) - 1e-12

    def beyond(swapped: Any) -> int:
        return int((abs(_gaps(ours + swapped @ moves, theirs - swapped @ moves)) >= observed).sum())

    if count <= _EXACT:
        ways = 1 << count
        return beyond(np.arange(ways)[:, None] >> np.arange(count) & 1) / ways
    draw = np.random.default_rng(seed)
    found = sum(beyond(draw.integers(0, 2, (_AT_ONCE, count), dtype=np.int8)) for _ in range(_FLIPS // _AT_ONCE))
    return (found + 1) / (_FLIPS + 1)


def _sums(values: Sequence[float], weights: Sequence[float]) -> list[tuple[float, float]]:
    """What each query adds to the two sums that a weighted mean divides."""
    return [(value * weight, weight) for value, weight in zip(_finite(values), weights, strict=True)]


def _gaps(ours: Any, theirs: Any) -> Any:
    return ours[..., 0] / ours[..., 1] - theirs[..., 0] / theirs[..., 1]


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for how many there are (Holm, 1979), in the order given."""
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected


@functools.cache
def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t.

    Args:
        freedom: degrees of freedom, 1 or more.
    """
    if freedom > _MANY:
        z, v = _Z, freedom
        return z + (z**3 + z) / (4 * v) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
    low, high = _Z, 13.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < 0.95 else (low, middle)
    return low


def _within(t: float, freedom: int) -> float:
    """The probability that Student's t lies between -t and t (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    square, total = math.cos(angle) ** 2, 0.0
    term = math.cos(angle) if freedom % 2 else 1.0
    for k in range(1 + freedom % 2, freedom, 2):
        total += term
        term *= square * k / (k + 1)
    if freedom % 2:
        return 2 / math.pi * (angle + math.sin(angle) * total)
    return math.sin(angle) * total


def _finite(values: Sequence[float]) -> Sequence[float]:
    if not values:
        raise InputError("There is nothing to take a mean of: give at least one judged query.")
    if not all(map(math.isfinite, values)):
        raise InputError("A value to take the mean of is no finite number: leave out what was not judged.")
    return values
