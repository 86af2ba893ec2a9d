"""The journals of requests under way and of the latest ones, for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tpo.engine.records import Record

# Requests that are over and still shown.
KEPT = 50


class LiveRequests:
    """The journals of requests, by their ids.

    Args:
        kept: how many are kept after their end.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._open: dict[str, list[Record]] = {}
        self._over: dict[str, list[Record]] = {}

    def begin(self, id: str, records: list[Record]) -> None:
        """A request begins, and its journal grows from now on."""
        self._open[id] = records

    def end(self, id: str) -> None:
        """It is over."""
        records = self._open.pop(id, None)
        if records is not None and self._kept:
            self._over[id] = records
            if len(self._over) > self._kept:
                del self._over[next(iter(self._over))]

    def __call__(self) -> Mapping[str, Sequence[Record]]:
        """All of them, the oldest first."""
        return {**self._over, **self._open}
