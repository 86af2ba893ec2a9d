"""Rewards, methods and benchmarks by name: ours, and those that packages add by entry points."""

from __future__ import annotations

from collections.abc import Container, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from tpo.errors import InputError, TPOError


def registered(group: str, ours: Mapping[str, str] | None = None) -> dict[str, EntryPoint]:
    """All that has a name in a group, by that name; nothing is imported.

    Args:
        group: the group of entry points, such as "tpo.rewards".
        ours: what comes with tpo: the place of each, "module:attribute", by its name. No package can replace these.
    """
    found = {name: EntryPoint(name, place, group) for name, place in (ours or {}).items()}
    return found | {point.name: point for point in entry_points(group=group) if point.name not in found}


def load(point: EntryPoint, kind: str, ours: Container[str] = (), family: type[TPOError] = InputError) -> Any:
    """Import what has a name.

    Args:
        point: the name and its place.
        kind: what it is, for the message: "method", "reward", "benchmark".
        ours: names that come with tpo; their errors are bugs and are raised as they are.
        family: the error of a package that fails to import.

    Raises:
        TPOError: the package fails to import; of the family.
    """
    try:
        return point.load()
    except Exception as error:
        if point.name in ours:
            raise
        why = f"{type(error).__name__}: {error}"
        raise family(f"The {kind} {point.name} ({point.value}) fails to import: {why}.") from error
