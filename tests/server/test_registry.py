"""The searches that the page shows."""

from __future__ import annotations

import pytest

from tpo.engine.records import Prompted, Record
from tpo.server import registry
from tpo.server.registry import LiveSearches


def prompts(characters: int) -> list[Record]:
    """A search whose prompts have so many characters, half in each."""
    messages = [{"role": "user", "content": [{"type": "text", "text": "a" * (characters // 2)}]}]
    return [Prompted(turn, 0, 0, "answer", "policy", messages) for turn in range(2)]


def test_searches_with_long_prompts_are_kept_as_long_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "KEPT_CHARACTERS", 100)
    live = LiveSearches(3)
    for id, characters in [("a", 10), ("b", 60), ("c", 40), ("d", 10), ("e", 10)]:
        live.begin(id, prompts(characters))
        live.end(id)
    assert [*live()] == ["c", "d", "e"]
    live.begin("f", prompts(500))
    assert [*live()] == ["c", "d", "e", "f"]
    live.end("f")
    assert [*live()] == []
