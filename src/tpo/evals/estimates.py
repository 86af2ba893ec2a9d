"""A mean with its standard error and 95 % interval, over the queries of a benchmark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from tpo.errors import InputError

Z95 = 1.959963984540054


class Estimate(NamedTuple):
    """A number and how sure it is.

    Attributes:
        value: the number, in percent or percentage points unless something else is said.
        error: its standard error, in the same unit; NaN for a single query.
        low: where its 95 % interval begins.
        high: where it ends.
    """

    value: float
    error: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.1f} [{self.low:.1f}, {self.high:.1f}]"


def mean_of(values: Sequence[float], scale: float = 100.0) -> Estimate:
    """The mean of values, such as 0 and 1 as a percentage.

    Args:
        values: one for each query, independent of each other. The standard error is their sample standard deviation
            over the root of their number; the interval is the normal one and may pass 0 or 100.
        scale: what the mean is multiplied with; 1 leaves values in the unit that they have.

    Raises:
        InputError: there is no value, or one is not a finite number.
    """
    if not values:
        raise InputError("There is nothing to take a mean of: give at least one judged query.")
    if not all(map(math.isfinite, values)):
        raise InputError("A value to take the mean of is no finite number: leave out what was not judged.")
    count = len(values)
    mean = math.fsum(values) / count
    spread = math.fsum((value - mean) ** 2 for value in values)
    error = math.sqrt(spread / (count - 1) / count) if count > 1 else math.nan
    half = Z95 * error
    return Estimate(scale * mean, scale * error, scale * (mean - half), scale * (mean + half))


def share_of(values: Sequence[float]) -> Estimate:
    """The share of queries that a value is 1 for, in percent, with Wilson's interval (1927).

    Unlike the normal one it stays within 0 and 100, and is honest where few queries were asked or all went the same
    way. Values other than 0 and 1 get the interval of `mean_of`.

    Args:
        values: one for each query.

    Raises:
        InputError: as `mean_of`.
    """
    return wilson_of(values) if all(value in (0.0, 1.0) for value in values) else mean_of(values)


def wilson_of(values: Sequence[float]) -> Estimate:
    """The mean of values from 0 to 1, in percent, with Wilson's interval.

    Where some are one half (a tie) it is a little too wide, for they spread less than 0 and 1 would.

    Raises:
        InputError: as `mean_of`.
    """
    plain = mean_of(values)
    count, share = len(values), plain.value / 100
    weight = Z95**2 / count
    centre = (share + weight / 2) / (1 + weight)
    half = Z95 / (1 + weight) * math.sqrt(share * (1 - share) / count + weight / (4 * count))
    return plain._replace(low=100 * max(centre - half, 0.0), high=100 * min(centre + half, 1.0))


def gap_of(values: Sequence[float], others: Sequence[float], scale: float = 100.0) -> Estimate:
    """How far values are above others of the same queries, on average.

    Where all are 0 or 1, the interval is that of Agresti and Min (2005, Statistics in Medicine 24): half a query is
    added to each of the four outcomes of a pair. So few queries, or queries that all agree, do not look like certainty.

    Args:
        values: one for each query.
        others: those that they are held against, in the same order.
        scale: as for `mean_of`.

    Raises:
        InputError: as `mean_of`.
    """
    gaps = [value - other for value, other in zip(values, others, strict=True)]
    plain = mean_of(gaps, scale)
    if not all(value in (0.0, 1.0) for value in (*values, *others)):
        return plain
    count = len(gaps) + 2
    apart, net = sum(map(abs, gaps)) + 1, sum(gaps)
    half = Z95 * math.sqrt(max(apart - net**2 / count, 0.0)) / count
    return plain._replace(low=scale * (net / count - half), high=scale * (net / count + half))
