"""Means and their intervals."""

from __future__ import annotations

import math

import pytest

from tpo.errors import InputError
from tpo.evals.estimates import mean_of


def test_mean_standard_error_and_interval() -> None:
    found = mean_of([1.0, 0.0, 1.0, 1.0])
    assert found.value == 75.0
    assert found.error == pytest.approx(25.0)  # the sample's standard deviation is one half
    assert [found.low, found.high] == pytest.approx([75 - 48.999, 75 + 48.999], abs=0.01)
    assert str(found) == "75.0 [26.0, 124.0]"


def test_one_value_has_no_error_and_none_no_mean() -> None:
    assert math.isnan(mean_of([1.0]).error)
    with pytest.raises(InputError, match="nothing to take a mean of"):
        mean_of([])
    with pytest.raises(InputError, match="no finite number"):
        mean_of([math.nan])
