"""What threads that decode into types need of msgspec."""

from __future__ import annotations

from threading import Lock
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_LEARNING = Lock()
_known: set[Any] = set()


def prepared(kind: T) -> T:
    """Have msgspec know a type before it is used in a thread.

    msgspec learns a type at its first use. Where two threads are the first at the same moment, the process crashes.

    Args:
        kind: the type, or a union of types.

    Returns:
        The same.
    """
    if kind not in _known:
        with _LEARNING:
            msgspec.json.Decoder(kind)
        _known.add(kind)
    return kind
