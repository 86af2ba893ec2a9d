"""What Apache Arrow makes of rows, undone."""

from __future__ import annotations

from typing import Any


def without_gaps(value: Any) -> Any:
    """Lists of objects without the keys that Arrow added.

    In a column of objects Arrow gives each object all keys that any of them has, empty where it had none. A
    message with `tool_calls: null` is not what its author wrote, and some servers refuse it.
    """
    if isinstance(value, list):
        return [without_gaps(entry) for entry in value]
    if isinstance(value, dict):
        return {key: without_gaps(entry) for key, entry in value.items() if entry is not None or key == "content"}
    return value
