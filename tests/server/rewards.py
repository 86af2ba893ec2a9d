"""A reward that a test's configuration names."""

from __future__ import annotations

from typing import Any


def brief(conversations: list[Any]) -> list[float]:
    """The shortest answer is the best."""
    return [-float(len(conversation[-1]["content"])) for conversation in conversations]


def long(conversations: list[Any]) -> list[float]:
    """The longest answer is the best."""
    return [float(len(conversation[-1]["content"])) for conversation in conversations]
