"""Which part of a dataset is meant."""

from __future__ import annotations

from collections.abc import Collection

from tpo.errors import InputError
from tpo.runs.reading.records import listed


def chosen_split(name: str, splits: Collection[str], wanted: str | None) -> str:
    """The split to read: the one that was named, else the only one.

    Args:
        name: the dataset, for a message.
        splits: those that there are.
        wanted: the one that the user named.

    Raises:
        InputError: it is not there, or there are several and none was named.
    """
    if wanted is not None:
        if wanted not in splits:
            raise InputError(f"{name} has no split {wanted!r}; it has {listed(splits)}.")
        return wanted
    if len(splits) != 1:
        raise InputError(f"{name} has several splits: name one of {listed(splits)} with --split.")
    return next(iter(splits))
