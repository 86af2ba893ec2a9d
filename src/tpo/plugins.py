"""What packages add to tpo by entry points: rewards, methods and benchmarks. Ours are registered in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points


def registered(group: str, ours: Mapping[str, str] | None = None) -> dict[str, EntryPoint]:
    """All that has a name in a group, by that name; nothing is imported.

    Args:
        group: the group of entry points, such as "tpo.rewards".
        ours: what comes with tpo: the place of each, "module:attribute", by its name. No package can replace these.
    """
    found = {name: EntryPoint(name, place, group) for name, place in (ours or {}).items()}
    return found | {point.name: point for point in entry_points(group=group) if point.name not in found}
