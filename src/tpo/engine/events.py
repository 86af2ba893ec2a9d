"""The events of a search: each record as it is written, text while it grows, and retries."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from tpo.engine.records import Record


class TextGrew(msgspec.Struct, frozen=True):
    """A reply grew while it was being written.

    Attributes:
        name: the prompt that it answers (answer, loss, …).
        index: which of the answers drawn together.
        text: what was added.
    """

    turn: int
    action: int
    name: str
    index: int
    text: str


class Retrying(msgspec.Struct, frozen=True):
    """A call failed and will be tried again.

    Attributes:
        role: whose call it was.
        error: what failed.
        wait: seconds until the next attempt.
    """

    role: str
    error: str
    wait: float


Event: TypeAlias = Record | TextGrew | Retrying
Listener: TypeAlias = Callable[[Event], None]


def both(first: Listener, second: Listener) -> Listener:
    """Two listeners as one."""

    def listen(event: Event) -> None:
        first(event)
        second(event)

    return listen
