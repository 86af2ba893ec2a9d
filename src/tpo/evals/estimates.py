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
