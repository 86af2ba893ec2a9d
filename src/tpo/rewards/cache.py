"""Scores and verdicts that are kept in memory, and what identifies a score there and in files."""

from __future__ import annotations

import hashlib
from typing import Generic, NamedTuple, TypeVar

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


class ScoreIdentity(NamedTuple):
    """What identifies a score: a hash of the reward's name and the conversation, and the length of what is hashed."""

    key: bytes
    size: int


class Identifier:
    """Identifies scores. Answers to the same messages share the hash of these, which may be long."""

    def __init__(self) -> None:
        self._name = ""
        self._shared: Conversation | None = None
        self._hashed = hashlib.sha256()
        self._size = 0

    def of(self, name: str, conversation: Conversation) -> ScoreIdentity:
        """What identifies the score of a conversation by the reward with this name."""
        shared, last = conversation[:-1], conversation[-1:]
        if shared != self._shared or name != self._name:
            text = msgspec.json.encode(shared)[:-1] + (b"," if shared else b"")
            self._name, self._shared = name, shared
            self._hashed = hashlib.sha256(name.encode() + b"\0" + text)
            self._size = len(text)
        end = msgspec.json.encode(last)[1:]
        hashed = self._hashed.copy()
        hashed.update(end)
        return ScoreIdentity(hashed.digest(), self._size + len(end))
