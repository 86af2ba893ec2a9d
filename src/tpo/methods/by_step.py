"""Settings with a value for each step, such as `widths=2,5,8`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar

import msgspec

from tpo.methods.definition import MAX_WIDTH

Width = Annotated[int, msgspec.Meta(ge=1, le=MAX_WIDTH)]
# The same in every step.
WIDTHS: list[Width] = []

T = TypeVar("T")


def of_step(values: Sequence[T], step: int, usual: T) -> T:
    """What a list by step says of one step.

    Args:
        values: one for each step from the first; the last counts for all later steps.
        step: 0 for the first.
        usual: what counts where the list is empty.
    """
    return values[min(step, len(values) - 1)] if values else usual
