"""Searches: how long they wait for their turn, and which of them the page shows."""

from __future__ import annotations

import asyncio
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tpo.engine.records import Prompted, Record
from tpo.options import ServeOptions
from tpo.server import registry
from tpo.server.admission import Admission
from tpo.server.asgi import RequestInfo
from tpo.server.errors import ApiError
from tpo.server.registry import LiveSearches, SearchRegistry


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


async def test_a_request_waits_no_longer_than_its_deadline() -> None:
    service: Any = SimpleNamespace(setup=SimpleNamespace(serving=ServeOptions(deadline=0.01)))
    searches = SearchRegistry(service, Admission(1, 5))
    search: Any = partial(cast(Any, searches.search), None, "m", "id")  # it does not come to what is searched
    async with searches.admission.admitted():
        of_the_background = RequestInfo("req", background=True)
        background = asyncio.create_task(search(of_the_background, lambda event: None))
        with pytest.raises(ApiError, match="no place") as error:
            await search(RequestInfo("req"), lambda event: None)
        assert error.value.status == 503
        assert searches.admission.waiting == 1  # the time of the other counts from its turn
        background.cancel()
        await asyncio.wait({background})
        assert searches.admission.waiting == 0
