"""What a row is called: by its own id, or by an id made from its query."""

from __future__ import annotations

import math
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any
from unicodedata import category

from tpo.errors import InputError

# The first of these that a row has holds its id.
ID_COLUMNS = ("id", "uid", "prompt_id", "question_id", "idx")

_LONGEST = 200
# Control characters and line breaks, which spoil a log, and halves of characters, which cannot be written at all.
_UNFIT = ("Cc", "Cs", "Zl", "Zp")


class Ids:
    """Names the rows of one pass over the data, each differently."""

    def __init__(self) -> None:
        # Hashes of 60 bits, not the ids: a million rows then cost what their ids alone would.
        self._taken: set[int] = set()
        self._repeats: dict[str, int] = {}

    def given(self, fields: Mapping[str, Any]) -> str | None:
        """The id that a row brings, now taken; None where it brings none.

        Raises:
            InputError: it cannot be used, or another row has it.
        """
        for column in ID_COLUMNS:
            if (name := _text(column, fields.get(column))) is not None:
                if not self._take(name):
                    raise InputError(
                        f"The id {name!r} is another row's too: give each row its own, or rename the column {column!r}."
                    )
                return name
        return None

    def made(self, canonical: bytes) -> str:
        """An id made from a query; the same query again gets -2, -3, …"""
        base = blake2b(canonical, digest_size=8).hexdigest()
        name = base
        while not self._take(name):
            count = self._repeats.get(base, 1) + 1
            self._repeats[base] = count
            name = f"{base}-{count}"
        return name

    def _take(self, name: str) -> bool:
        key = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") >> 4
        if key in self._taken:
            return False
        self._taken.add(key)
        return True


def _text(column: str, value: Any) -> str | None:
    if isinstance(value, float):
        if math.isnan(value):  # pandas' word for nothing there
            return None
        if value.is_integer():  # a column of whole numbers with gaps, as pandas keeps it
            value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InputError(f"The id in the column {column!r} is a {type(value).__name__}: text or a whole number is due.")
    if len(value) > _LONGEST:
        raise InputError(f"The id in the column {column!r} has {len(value)} characters: {_LONGEST} at most are due.")
    if not value.strip() or any(category(character) in _UNFIT for character in value):
        raise InputError(f"The id in the column {column!r} is {value!r}: a line of readable text is due.")
    return value
