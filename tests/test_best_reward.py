"""What is shown as the best reward is the reward of an answer that could be returned, wherever it is shown."""

from __future__ import annotations

import io
import re
import sys
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from rich.console import Console
from starlette.applications import Starlette
from starlette.testclient import TestClient

from engine.kit import drive, leaking
from fakes import FakeModel, FakeReward
from server.test_metrics import Read
from telemetry.kit import Collected
from tpo.candidate import Candidate, best_reward
from tpo.cli.live import LiveView
from tpo.engine.events import Event, Retrying, TextGrew
from tpo.engine.records import Record, Scored
from tpo.engine.result import Result, best_by_step, result_of
from tpo.messages import conversation
from tpo.notebook import progress
from tpo.runs.answers import answer_of
from tpo.runs.rows import QueryRow
from tpo.server.metrics import Metrics
from tpo.session.response import SearchResult
from tpo.view.live_routes import live_routes

# Rewards are lengths: one answer of each step, the one with the highest reward, repeats words of our prompts.
LENGTHS = {"0.0": 2, "0.1": 9, "1.0": 3, "1.1": 20}


@pytest.fixture
async def events() -> list[Event]:
    lengths = iter(LENGTHS.values())
    model = FakeModel(lambda request, index: "x" * next(lengths))
    events: list[Event] = []
    critic = FakeModel(lambda request, index: "It is too short.")
    await drive(model, FakeReward(lambda t: float(len(t))), critic=critic, width=2, depth=1, events=events)
    return leaking(events, "0.1", "1.1")


@pytest.fixture
def records(events: list[Event]) -> list[Record]:
    return [event for event in events if not isinstance(event, TextGrew | Retrying)]


@pytest.fixture
def result(records: list[Record]) -> Result:
    result = result_of(records)
    assert (result.chosen, result.reward) == ("1.0", 3.0)
    return result


def test_an_answer_with_words_of_ours_counts_only_where_all_have_some() -> None:
    clean, leaked = Candidate("0.0", 0, "a", -1.0), Candidate("0.1", 0, "b", 5.0, leaked="Answer 2")
    assert best_reward([leaked, clean]) == -1.0
    assert best_reward([leaked, Candidate("0.2", 0, "c")]) == 5.0
    assert best_reward([Candidate("0.2", 0, "c")]) is best_reward([]) is None


def test_by_step(result: Result) -> None:
    assert best_by_step(result.steps) == [2.0, 3.0]
    steps = answer_of(QueryRow(0, "here", "a", conversation("How?")), "k", result).steps
    assert [step.best for step in steps] == [2.0, 3.0]


def test_the_curve_in_a_notebook(result: Result) -> None:
    html = result._repr_html_()
    curve = html[html.index("Best reward by step") :].partition("</svg>")[0]
    assert re.findall(r">([\d.]+)</text>", curve) == ["2", "0", "3", "1"]  # each reward, then its step


def test_a_server_s_reply(result: Result) -> None:
    summary = SearchResult(result, [result.candidates[2]]).summary()
    assert (summary["reward_before"], summary["reward"]) == (2.0, 3.0)


def test_spans(events: list[Event]) -> None:
    collected = Collected()
    with collected.telemetry.watching("helpful") as spans:
        for event in events:
            spans(event)
    told = dict(collected.one("invoke_agent tpo").attributes or {})
    assert (told["tpo.reward.before"], told["tpo.reward.after"]) == (2.0, 3.0)


def test_metrics(events: list[Event]) -> None:
    metrics = Metrics()
    with metrics.watching("helpful") as watching:
        for event in events:
            watching(event)
    read = Read(metrics)
    for name, reward, below in (("before", "2.0", "1.0"), ("after", "5.0", "2.0")):
        assert read(f"tpo_reward_{name}_bucket", reward="helpful", le=reward) == 1, name
        assert read(f"tpo_reward_{name}_bucket", reward="helpful", le=below) == 0, name


def test_the_list_of_live_requests(records: list[Record]) -> None:
    # A reward that looks at the whole pool scores an answer again.
    again = [msgspec.structs.replace(one, reward=2.5) for one in records if isinstance(one, Scored) and one.id == "1.0"]
    app = Starlette(routes=live_routes())
    app.state.live = lambda: {"one": [*records, *again]}
    with TestClient(app) as client:
        (line,) = client.get("/api/live").json()
    assert (line["reward"], line["answers"]) == (2.5, 4)


def test_the_live_view(events: list[Event]) -> None:
    screen = io.StringIO()
    view = LiveView(Console(file=screen, width=120, height=60))
    for event in events:
        view.listen(event)
    console = Console(file=io.StringIO(), width=120, height=60, record=True)
    console.print(view.picture())
    shown = console.export_text()
    assert "best  step 0: 2.000  step 1: 3.000" in shown
    assert "* 3.000" in shown and "* 20.000" not in shown and "with reward 3.000" in shown


def test_the_line_in_a_notebook(events: list[Event], monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []

    def display(data: dict[str, str], **_: Any) -> Any:
        return SimpleNamespace(update=lambda data, **_: lines.append(data["text/plain"]))

    monkeypatch.setattr("tpo.notebook.shell", lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    listen = progress("How?")
    assert listen is not None
    for event in events:
        listen(event)
    assert lines[-1].endswith("4 answers scored, best reward 3.000")
