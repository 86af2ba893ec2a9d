"""Scores and verdicts that are kept in memory, and what identifies a score there and in files."""

from __future__ import annotations

import hashlib
from typing import Generic, TypeVar

import msgspec

from tpo.messages import Conversation

T = TypeVar("T")


class Memory(Generic[T]):
    """A mapping that drops its oldest entries.

    Args:
        most: how many entries it keeps.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[bytes, T] = {}

    def __contains__(self, key: bytes) -> bool:
        return key in self._kept

    def __getitem__(self, key: bytes) -> T:
        return self._kept[key]

    def __setitem__(self, key: bytes, value: T) -> None:
        self._kept[key] = value
        if len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]


def key_of(name: str, conversation: Conversation) -> bytes:
    """What identifies a score: the reward's name and the conversation."""
    return hashlib.sha256(name.encode() + b"\0" + msgspec.json.encode(conversation)).digest()
