"""Finding a query in a run's journal by its row's id."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

from tpo.engine.records import Record

SHOWN = 5
# Comparing with each of a million ids would take a minute.
LOOKED_THROUGH = 20_000


class Finding:
    """Looks for a query that has no answer yet: the first record of each query says its id.

    Args:
        id: the row's id.

    Attributes:
        key: what the journal knows it by; None where it is not found (yet).
        records: its records.
        others: the ids of other queries.
    """

    def __init__(self, id: str) -> None:
        self.key: str | None = None
        self.records: list[Record] = []
        self.others: list[str] = []
        self._id = id
        self._seen: set[str] = set()

    def wanted(self, key: str) -> bool:
        """Whether a line with this key is to be read."""
        if key in self._seen:
            return key == self.key
        self._seen.add(key)
        return True

    def take(self, key: str, id: str | None, record: Record) -> None:
        """Look at a line."""
        if id == self._id and key != self.key:
            # A row whose query was changed before it had an answer has another key: the last one counts.
            self.key, self.records = key, []
        if key == self.key:
            self.records.append(record)
        elif id is not None:
            self.others.append(id)


def near(id: str, ids: Iterable[str]) -> str:
    """The end of a sentence about an id that is not there: those that are there, the nearest first."""
    known = list(dict.fromkeys(ids))
    close = get_close_matches(id, known[:LOOKED_THROUGH], SHOWN)
    close += islice((one for one in known if one.startswith(id) and one not in close), SHOWN)
    if close:
        return f"; near are {', '.join(close[:SHOWN])}"
    return f"; its ids are like {', '.join(known[:SHOWN])}" if known else "; none at all, so far"
