"""What /metrics says: true numbers, and never more of them than were configured."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as strictly
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette

from engine.kit import LENGTH, drive
from fakes import FakeModel, FakeReward, numbered
from models.server import serving
from server.clients.kit import longest
from server.clients.upstream import respond
from server.kit import running
from server.raw import listening, request
from tpo.engine.events import Event, Retrying, TextGrew
from tpo.engine.records import Called, Judged, Scored
from tpo.errors import ModelError
from tpo.models.protocol import Request, Usage
from tpo.server.admission import Admission
from tpo.server.asgi import Receive, Scope, Send, refuse, request_info
from tpo.server.guard import Guard
from tpo.server.metrics import MOST_NAMES, Metrics, metrics_route
from tpo.server.service import Setup


class Read:
    """What the exposition says, as a scraper reads it."""

    def __init__(self, said: Metrics | str) -> None:
        content = said if isinstance(said, str) else said.exposition()[0].decode()
        self.samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(content)
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float | None:
        return self.samples.get((name, frozenset(labels.items())))

    def labels(self, name: str, label: str) -> set[str]:
        return {dict(labels)[label] for found, labels in self.samples if found == name}


async def test_what_the_held_out_judge_found_is_counted(metrics: Metrics) -> None:
    pairs = [(1.0, 2.0), (1.0, 2.0), (2.0, 1.0), (1.0, 1.0), (None, 1.0)]
    for first, chosen in pairs:
        with metrics.watching("helpful") as watching:
            watching(Judged("j", "0.0", "1.0", first, chosen))
    read = Read(metrics)
    outcomes = {outcome: read("tpo_judged_total", outcome=outcome) for outcome in ("better", "worse", "same", "failed")}
    assert outcomes == {"better": 2, "worse": 1, "same": 1, "failed": 1}


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    yield Metrics()


async def watched(metrics: Metrics, model: FakeModel, reward: FakeReward | None = None, **more: Any) -> list[Event]:
    events: list[Event] = []
    with metrics.watching("helpful") as watching:
        await drive(model, reward or LENGTH, events=events, **more)
        for event in events:
            watching(event)
    return events


async def test_a_search_is_counted_as_its_trace_has_it(metrics: Metrics) -> None:
    grown = iter("x" * length for length in [1, 5, 3] + [4] * 4 + [9, 2, 3] + [1] * 100)
    events = await watched(metrics, FakeModel(lambda request, index: next(grown)), depth=1)
    calls = [event for event in events if isinstance(event, Called)]
    read = Read(metrics)
    for role in ("policy", "critic", "editor", "reward"):
        mine = [call for call in calls if call.role == role]
        assert mine
        model = "helpful" if role == "reward" else "fake"
        assert read("tpo_calls_total", role=role, outcome="ok") == len(mine)
        assert read("tpo_call_wait_seconds_count", role=role) == len(mine)
        for kind, tokens in (
            ("prompt", sum(call.usage.prompt_tokens for call in mine)),
            ("completion", sum(call.usage.completion_tokens for call in mine)),
        ):
            assert (read("tpo_tokens_total", role=role, model=model, type=kind) or 0) == tokens
    stages = read.labels("tpo_stage_seconds_count", "stage")
    assert stages == {"answer", "loss", "gradient", "update", "reward"}
    assert read("tpo_stage_seconds_count", stage="loss") == 1
    assert read("tpo_searches_total", method="tpo", stop="depth") == 1
    assert read("tpo_candidates_total", outcome="drawn") == 6
    assert read("tpo_reward_before_bucket", reward="helpful", le="5.0") == 1
    assert read("tpo_reward_before_bucket", reward="helpful", le="2.0") == 0
    assert read("tpo_reward_after_bucket", reward="helpful", le="5.0") == 0
    assert read("tpo_reward_after_count", reward="helpful") == 1
    assert read("tpo_reward_gain_sum", reward="helpful") == 4
    assert read("tpo_retries_total", role="policy") is None


async def test_the_gain_of_a_search_that_found_nothing_better_is_none(metrics: Metrics) -> None:
    await watched(metrics, FakeModel(lambda request, index: "the same"))
    read = Read(metrics)
    assert (read("tpo_reward_gain_count", reward="helpful"), read("tpo_reward_gain_sum", reward="helpful")) == (1, 0)
    assert read("tpo_reward_gain_bucket", reward="helpful", le="0.0") == 1


async def test_what_failed_is_counted_as_failed(metrics: Metrics) -> None:
    def refuse_all(request: Request, index: int) -> str | ModelError:
        return ModelError("No.")

    events: list[Event] = []
    with metrics.watching("helpful") as watching, pytest.raises(ModelError):
        try:
            await drive(FakeModel(refuse_all), events=events)
        finally:
            for event in events:
                watching(event)
    read = Read(metrics)
    assert (read("tpo_calls_total", role="policy", outcome="failed") or 0) >= 1
    assert read("tpo_calls_total", role="policy", outcome="ok") is None
    assert read("tpo_stage_seconds_count", stage="answer") is None
    assert read("tpo_searches_total", method="tpo", stop="error") == 1
    assert read("tpo_reward_after_count", reward="helpful") is None


async def test_a_search_that_was_given_up_is_one_that_its_client_left(metrics: Metrics) -> None:
    events = await watched(metrics, FakeModel(numbered()), depth=1)
    with metrics.watching("helpful") as watching:
        for event in events[:-1]:
            watching(event)
    with metrics.watching("helpful"):
        pass  # one that never began
    read = Read(metrics)
    assert read("tpo_searches_total", method="tpo", stop="left") == 1
    assert read("tpo_searches_total", method="tpo", stop="depth") == 1
    assert read("tpo_reward_after_count", reward="helpful") == 1


def test_retries_and_calls_cut_short(metrics: Metrics) -> None:
    with metrics.watching("helpful") as watching:
        watching(TextGrew(0, 0, "answer", 0, "x"))
        watching(Retrying("policy", "down", 1.0))  # told before it happens; counted when it has
        watching(Called(0, 0, "policy", 0.0, 1.0, Usage(3, 2, 1), retry=True))
        watching(Called(0, 0, "reward", 0.0, 1.0, Usage(), retry=True, error="down"))
        watching(Called(0, 0, "policy", 0.0, 1.0, Usage(), error="cut short", waited=0.3))
    read = Read(metrics)
    assert read("tpo_retries_total", role="policy") == read("tpo_retries_total", role="reward") == 1
    assert read("tpo_calls_total", role="policy", outcome="cut short") == 1
    assert read("tpo_call_wait_seconds_sum", role="policy") == pytest.approx(0.3)
    assert read("tpo_tokens_total", role="policy", model="other", type="cached") == 2
    assert read("tpo_searches_total", method="other", stop="left") is None


async def test_pool_rewards_count_with_their_last_scores(metrics: Metrics) -> None:
    events = await watched(metrics, FakeModel(numbered()), width=2, depth=0)
    chosen = max((event for event in events if isinstance(event, Scored)), key=lambda event: event.reward or 0)
    with metrics.watching("pool") as watching:
        for event in events[:-1]:
            watching(event)
        for event in events:
            if isinstance(event, Scored):
                watching(Scored(event.turn, event.action, event.index, event.id, 0.5 if event.id == chosen.id else 0.1))
        watching(events[-1])
    read = Read(metrics)
    assert read("tpo_reward_after_bucket", reward="pool", le="0.5") == 1
    assert read("tpo_reward_before_bucket", reward="pool", le="0.5") == 1


def test_requests_and_gates() -> None:
    aligned, passed = Admission(3, 4), Admission(5, 6)
    metrics = Metrics(aligned=aligned, passed=passed)
    metrics.request("aligned", 200, 2.0, 700)
    metrics.request("passed", 200, 0.02, 11)
    metrics.request("passed", 799, 0.02)
    metrics.request(None, 404, 0.001)
    metrics.request("aligned", None, 9.0)
    aligned.live = 2
    read = Read(metrics)
    assert read("tpo_requests_total", kind="aligned", status="200") == 1
    assert read("tpo_requests_total", kind="aligned", status="left") == 1
    assert read("tpo_requests_total", kind="passed", status="other") == 1
    assert read("tpo_requests_total", kind="other", status="404") == 1
    assert read("tpo_request_seconds_sum", kind="aligned") == 11.0
    assert read("tpo_passed_tokens_total") == 11
    assert read("tpo_in_flight", kind="aligned") == 2
    assert read("tpo_in_flight", kind="passed") == 0
    assert (read("tpo_in_flight_limit", kind="passed"), read("tpo_queued_limit", kind="aligned")) == (5, 4)
    assert read("process_resident_memory_bytes")


async def test_labels_do_not_grow_without_end(metrics: Metrics) -> None:
    model = FakeModel(numbered())
    for number in range(MOST_NAMES + 20):
        model.name = f"model {number}"
        with metrics.watching(f"reward {number}") as watching:
            events: list[Event] = []
            await drive(model, width=1, depth=0, events=events)
            for event in events:
                watching(event)
    read = Read(metrics)
    assert len(read.labels("tpo_tokens_total", "model")) <= 2 * MOST_NAMES + 1
    assert len(read.labels("tpo_reward_after_count", "reward")) == MOST_NAMES + 1
    assert read("tpo_reward_after_count", reward="other") == 20


async def test_the_guard_counts_how_requests_end(metrics: Metrics) -> None:
    open_then: list[float | None] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        open_then.append(Read(metrics)("tpo_requests_open"))
        known = request_info(scope)
        if scope["path"] == "/bug":
            raise RuntimeError("a bug")
        if scope["path"] == "/left":
            return
        if scope["path"] == "/v1/chat/completions":
            known.kind = "passed"
            known.spend(5)
        await refuse(send, 404, "nothing")

    paths = ("/nothing/at/all", "/v1/chat/completions", "/health", "/metrics", "/bug", "/left")
    async with listening(Guard(app, metrics=metrics)) as at:
        for path in paths:
            await at.say(request("GET", path, b"Connection: close"))
        await at.say(request("GET", "/foreign", b"Origin: http://evil.example", b"Connection: close"))
    read = Read(metrics)
    assert read("tpo_requests_total", kind="other", status="404") == 1
    assert read("tpo_requests_total", kind="passed", status="404") == 1
    assert read("tpo_requests_total", kind="other", status="500") == 1
    assert read("tpo_requests_total", kind="other", status="403") == 1
    assert read("tpo_requests_total", kind="other", status="left") == 1
    assert read("tpo_passed_tokens_total") == 5
    assert open_then == [1, 1, 0, 0, 1, 1]
    assert read("tpo_requests_open") == 0
    assert not any("nothing" in str(labels) for _, labels in read.samples)


async def test_the_route_speaks_a_format_that_every_scraper_reads(metrics: Metrics) -> None:
    metrics.request("aligned", 200, 1.0)
    rewards = iter([-3.0, -1.0] * 20)
    await watched(metrics, FakeModel(numbered()), FakeReward(lambda text: next(rewards)), depth=1)
    app = Starlette(routes=[metrics_route(metrics)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        plain = await client.get("/metrics")
        open_metrics = await client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert plain.headers["content-type"].startswith("text/plain; version=")
    assert 'tpo_requests_total{kind="aligned",status="200"} 1.0' in plain.text
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text; version=")
    families = {family.name: family for family in strictly(open_metrics.text)}  # type: ignore[no-untyped-call]
    assert families.keys() >= {"tpo_requests", "tpo_request_seconds", "tpo_reward_before", "tpo_reward_gain"}
    (counted,) = families["tpo_requests"].samples
    assert (counted.name, counted.value) == ("tpo_requests_total", 1.0)
    assert list(text_string_to_metric_families(plain.text)) and "_created" not in plain.text


async def test_the_whole_server_counts() -> None:
    async with serving(respond) as policy:
        options: Any = {"policy": policy.url, "reward": longest, "check": False}
        async with (
            running(Setup(options=options)) as url,
            httpx.AsyncClient(base_url=url.removesuffix("/v1"), trust_env=False) as client,
        ):
            chats = "/v1/chat/completions"
            body = {"messages": [{"role": "user", "content": "Hi, secret word"}], "tpo": {"width": 2, "depth": 1}}
            aligned = await client.post(chats, json={"model": "small:tpo", **body})
            assert aligned.status_code == 200, aligned.text
            plain = await client.post(chats, json={"model": "small", "messages": body["messages"]})
            assert plain.status_code == 200
            assert (await client.post(chats, json={"model": "secret word", **body})).status_code == 404
            text = (await client.get("/metrics")).text
    read = Read(text)
    total = aligned.json()["usage"]["total_tokens"]
    counted = [
        value
        for (name, labels), value in read.samples.items()
        if name == "tpo_tokens_total" and ("type", "cached") not in labels
    ]
    assert total > 0
    assert sum(counted) == total
    assert read("tpo_requests_total", kind="aligned", status="200") == 1
    assert read("tpo_requests_total", kind="passed", status="200") == 1
    assert read("tpo_requests_total", kind="other", status="404") == 1
    assert read("tpo_passed_tokens_total") == 12
    assert read("tpo_stage_seconds_count", stage="queue") == 1
    assert read("tpo_reward_after_count", reward="default") == 1
    assert read("tpo_in_flight", kind="aligned") == 0
    assert "secret word" not in text


DASHBOARD = Path(__file__).parents[2] / "packaging" / "grafana" / "tpo.json"
NAME = re.compile(r"\b(?:tpo|process)_[a-z_]+")
LABELS = re.compile(r"by \(([^)]*)\)")


async def test_the_dashboard_shows_what_there_is() -> None:
    metrics = Metrics(aligned=Admission(1, 1), passed=Admission(1, 1))
    metrics.request("aligned", 200, 1.0)
    await watched(metrics, FakeModel(numbered()), depth=1)
    with metrics.watching("helpful") as watching:
        watching(Called(0, 0, "policy", 0.0, 1.0, Usage(), retry=True))
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.exposition()[0].decode()):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(queries) > 15
    for query in queries:
        names = NAME.findall(query)
        assert names and labels.keys() >= {*names}, query
        wanted = {label.strip() for found in LABELS.findall(query) for label in found.split(",")}
        assert wanted <= set.union(*(labels[name] for name in names)), query
