"""What a judge has said before about the same question, so that a growing pool pays only for what is new."""

from __future__ import annotations

import hashlib
from typing import Generic, TypeVar

import msgspec

from tpo.messages import Conversation

T = TypeVar("T")

# A few hundred bytes each; a long run over many queries forgets the oldest.
MOST = 50_000


class Known(Generic[T]):
    """Replies by query and by the texts that were shown, in the order in which they were shown."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._replies: dict[bytes, T] = {}

    def __contains__(self, key: bytes) -> bool:
        return key in self._replies

    def __getitem__(self, key: bytes) -> T:
        return self._replies[key]

    def __setitem__(self, key: bytes, reply: T) -> None:
        self._replies[key] = reply
        while len(self._replies) > self._most:
            del self._replies[next(iter(self._replies))]


def key(query: Conversation, *texts: str) -> bytes:
    """What identifies a query and some texts in this order."""
    return hashlib.sha256(msgspec.json.encode([query, *texts])).digest()
