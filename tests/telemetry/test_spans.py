"""Spans of searches in runs: of one that another process began, and of a panel."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from fakes import FakeModel, FakeReward, numbered
from models.server import serving
from runs.kit import Breaker, make_run
from server.clients.upstream import respond
from telemetry.kit import Collected
from tpo.runs import dataset
from tpo.session.session import Session


class _Cut(Breaker):
    """Breaks a run off after so many calls, in the middle of a query."""

    def __init__(self, calls: int) -> None:
        super().__init__(1)
        self._calls = calls

    def began(self, runner: Any, fleets: Any, progress: Any) -> None:
        super().began(runner, fleets, progress)
        take = progress.take

        def count(event: Any) -> None:
            take(event)
            if progress.calls >= self._calls:
                runner.stop()

        progress.take = count


async def test_a_search_that_goes_on_has_a_span_with_its_calls_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected = [Collected(), Collected()]
    for process, watcher in zip(collected, (_Cut(4), None), strict=True):
        monkeypatch.setattr(dataset, "configured", lambda environment, its=process.telemetry: its)
        monkeypatch.setattr(process.telemetry, "close", lambda: None)
        await make_run(tmp_path, ["Why?"], FakeModel(numbered(), name="small"), watcher=watcher)
    before, after = collected
    assert {dict(span.attributes or {}).get("tpo.stage") for span in before.named("chat small")} == {"answer"}
    search = after.one("invoke_agent tpo")
    told = dict(search.attributes or {})
    assert (told["tpo.stop"], told["tpo.reward.before"]) == ("depth", 3.0)
    chats = after.named("chat small")
    assert {dict(span.attributes or {})["tpo.stage"] for span in chats} == {"loss", "gradient", "update"}
    assert search.start_time is not None and search.end_time is not None and search.context is not None
    for span in after.spans:
        if span is not search:
            assert span.parent is not None and span.parent.span_id == search.context.span_id
            assert span.start_time is not None and span.start_time >= search.start_time
    results = [event for event in after.events if event.event_name == "gen_ai.evaluation.result"]
    # Those of the first process are not sent again.
    assert {event.attributes["tpo.candidate"] for event in results} == {"1.0", "1.1", "1.2"}


async def test_each_call_of_a_panel_names_its_own_model_and_server() -> None:
    collected = Collected()
    async with serving(respond) as one, serving(respond) as two:
        arms: Any = {"a": one.url, "b": two.url, "c": FakeModel(numbered(), name="object")}
        options: Any = {"reward": FakeReward(lambda text: 1.0), "check": False, "method": "best-of-n", "width": 3}
        async with Session(policy=arms, telemetry=collected.telemetry, **options) as session:
            await session.align("Why?")
    calls = [(span.name, dict(span.attributes or {})) for span in collected.spans if span.name.startswith("chat")]
    named = {(name, attributes.get("server.port")) for name, attributes in calls}
    assert named == {("chat small", urlsplit(at.url).port) for at in (one, two)} | {("chat object", None)}
