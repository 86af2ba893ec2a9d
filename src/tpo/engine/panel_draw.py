"""Draws the answers of one action from the arms of a panel; what an arm fails to draw, the others draw."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Protocol

from tpo.errors import ModelError, ModelUnavailable
from tpo.http.failures import ContextOverflow
from tpo.models.panel import Panel, PanelSeat, shared_out
from tpo.models.protocol import Choice
from tpo.scheduling.concurrency import together


class DrawArm(Protocol):
    """Draws answers from one arm; `hurry` gives up soon, since other arms are there."""

    def __call__(
        self,
        arm: str,
        indices: Sequence[int],
        on_choice: Callable[[Choice], None],
        on_failure: Callable[[int, ModelError], None],
        *,
        hurry: bool,
    ) -> Coroutine[None, None, None]:
        """Draw."""
        ...


async def draw_from_panel(
    seat: PanelSeat,
    draw: DrawArm,
    wanted: Sequence[int],
    width: int,
    turn: int,
    on_choice: Callable[[Choice], None],
    on_failure: Callable[[int, ModelError], None],
) -> None:
    """Draw the wanted answers.

    Args:
        seat: the panel.
        draw: draws from one arm.
        wanted: ascending indices of the answers.
        width: how many answers the action has.
        turn: turns the order of the arms.
        on_choice: called with each answer as it lands.
        on_failure: called for each answer that every arm failed to draw, where others were drawn.

    Raises:
        ModelError: no arm drew an answer.
    """
    panel, left = seat.panel, list(wanted)
    tried: dict[int, set[str]] = {index: set() for index in wanted}
    errors: dict[int, list[ModelError]] = {index: [] for index in wanted}
    landed = False

    async def from_arm(arm: str, indices: list[int]) -> None:
        nonlocal landed
        missing = set(indices)

        def arrived(choice: Choice) -> None:
            nonlocal landed
            landed = True
            missing.discard(choice.index)
            left.remove(choice.index)
            panel.worked(arm)
            on_choice(choice)

        def failed(index: int, error: ModelError) -> None:
            errors[index].append(error)

        # The last arm that is left has all the patience of a single policy.
        hurry = any(other not in tried[indices[0]] for other in panel.in_use if other != arm)
        try:
            await draw(arm, indices, arrived, failed, hurry=hurry)
        except ModelError as error:
            for index in missing:
                failed(index, error)
        if missing:
            panel.leave_out(arm, errors[min(missing)][-1])
        for index in missing:
            tried[index].add(arm)

    shares = shared_out(left, width, panel.in_use, turn)
    while shares:
        await together([from_arm(arm, indices) for arm, indices in shares.items()])
        shares = _passed_on(left, tried, panel)
    for index in left:
        error = telling(errors[index])
        if not landed and (not isinstance(error, ModelUnavailable) or error.down):
            raise error
        on_failure(index, error)


def telling(errors: Sequence[ModelError]) -> ModelError:
    """What to report where every arm failed: the last error, but no short context while a wider arm is down."""
    others = [error for error in errors if not isinstance(error, ContextOverflow)]
    return (others or errors)[-1]


def _passed_on(left: Sequence[int], tried: dict[int, set[str]], panel: Panel) -> dict[str, list[int]]:
    """The answers that are left, shared out among the arms that have not tried them; arms in use come first."""
    shares: dict[str, list[int]] = {}
    for index in left:
        untried = [arm for arm in panel.arms if arm not in tried[index]]
        arms = [arm for arm in panel.in_use if arm in untried] or untried
        if arms:
            shares.setdefault(arms[index % len(arms)], []).append(index)
    return shares
