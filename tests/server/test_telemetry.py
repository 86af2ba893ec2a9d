"""Traces: what a collector gets of a request, its search and its calls."""

from __future__ import annotations

import asyncio
import builtins
import json
import sys
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from engine.kit import LENGTH, drive
from fakes import FakeModel, numbered
from models.server import Received, response, serving
from server.clients.kit import longest
from server.clients.upstream import respond
from server.kit import running
from server.raw import until
from telemetry.kit import Collected
from tpo import run_dataset
from tpo.engine.events import Event, Retrying
from tpo.engine.records import Called
from tpo.errors import InputError, ModelError
from tpo.models.protocol import Usage
from tpo.server.admission import Admission
from tpo.server.app import AppOptions, create_app
from tpo.server.registry import SearchRegistry
from tpo.server.service import Service, Setup
from tpo.server.telemetry import RequestTelemetry, Traced
from tpo.telemetry.provider import CONTENTS, ENDPOINT, configured

CONVENTIONS = Path(__file__).parents[1] / "telemetry" / "genai_conventions.json"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def times(span: ReadableSpan) -> tuple[int, int]:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time, span.end_time


async def traced(collected: Collected, model: FakeModel, **more: Any) -> list[Event]:
    events: list[Event] = []
    with collected.telemetry.watching("helpful") as spans:
        await drive(model, LENGTH, events=events, **more)
        for event in events:
            spans(event)
    return events


async def test_a_search_has_a_span_and_each_call_one_below_it() -> None:
    collected = Collected()
    grown = (("x" * length) for length in range(1, 100))
    model = FakeModel(lambda request, index: next(grown), name="small @ http://models.example:9000/v1")
    events = await traced(collected, model, depth=1)
    search = collected.one("invoke_agent tpo")
    calls = [event for event in events if isinstance(event, Called)]
    assert len(collected.spans) == len(calls) + 1
    assert search.kind == SpanKind.INTERNAL
    told = attributes(search)
    assert (told["gen_ai.operation.name"], told["gen_ai.agent.name"]) == ("invoke_agent", "tpo")
    assert (told["tpo.width"], told["tpo.depth"], told["tpo.stop"]) == (3, 1, "depth")
    assert told["tpo.reward.after"] >= told["tpo.reward.before"]
    for span in collected.spans:
        if span is not search:
            assert span.parent is not None
            assert search.context is not None
            assert span.parent.span_id == search.context.span_id
            assert times(search)[0] <= times(span)[0] <= times(span)[1]
    chats = collected.named("chat small")
    mine = [call for call in calls if call.role != "reward"]
    assert len(chats) == len(mine)
    assert {attributes(span)["tpo.stage"] for span in chats} == {"answer", "loss", "gradient", "update"}
    for span, call in zip(chats, mine, strict=True):
        told = attributes(span)
        assert span.kind == SpanKind.CLIENT
        assert (told["gen_ai.operation.name"], told["gen_ai.request.model"]) == ("chat", "small")
        assert (told["gen_ai.usage.input_tokens"], told["tpo.role"]) == (call.usage.prompt_tokens, call.role)
        assert told["gen_ai.usage.output_tokens"] == call.usage.completion_tokens
        assert told["server.address"] == "models.example"
        assert times(span)[1] - times(span)[0] == pytest.approx(call.seconds * 1e9, abs=10)
    answered = [span for span in chats if attributes(span)["tpo.role"] != "critic"]
    reasons = [reason for span in answered for reason in attributes(span)["gen_ai.response.finish_reasons"]]
    assert reasons == ["stop"] * 6
    scores = collected.named("score helpful")
    assert len(scores) == len(calls) - len(mine)
    assert search.context is not None
    assert {(event.trace_id, event.span_id) for event in collected.events} == {
        (search.context.trace_id, search.context.span_id)
    }
    results: list[dict[str, Any]] = [
        dict(event.attributes) for event in collected.events if event.event_name == "gen_ai.evaluation.result"
    ]
    assert len(results) == 6
    assert max(result["gen_ai.evaluation.score.value"] for result in results) == told_after(search)


def told_after(search: ReadableSpan) -> float:
    after: float = attributes(search)["tpo.reward.after"]
    return after


async def test_names_are_those_of_the_conventions() -> None:
    collected = Collected(contents=True)
    await traced(collected, FakeModel(numbered()), depth=1)
    known = json.loads(CONVENTIONS.read_text(encoding="utf-8"))
    of_spans = {name for span in collected.spans for name in attributes(span)}
    of_events = {name for event in collected.events for name in event.attributes}
    of_metrics = {
        name for metric in collected.metrics.values() for point in metric.data.data_points for name in point.attributes
    }
    ours = {name for name in of_spans | of_events | of_metrics if name.startswith("gen_ai.")}
    assert "gen_ai.input.messages" in ours and ours <= {*known["attributes"]}
    others = {name.partition(".")[0] for name in of_spans | of_events | of_metrics} - {"gen_ai"}
    assert others <= {"tpo", "server", "error"}
    assert {event.event_name for event in collected.events} <= {*known["events"]}
    operations = {attributes(span).get("gen_ai.operation.name") for span in collected.spans} - {None}
    assert operations == {"chat", "invoke_agent"} <= {*known["operations"]}
    for name, metric in collected.metrics.items():
        kind = "histogram" if type(metric.data).__name__ == "Histogram" else "counter"
        assert [kind, metric.unit] == known["metrics"][name]


async def test_tokens_are_counted_once() -> None:
    collected = Collected()
    events = await traced(collected, FakeModel(numbered()), depth=1)
    calls = [event for event in events if isinstance(event, Called) and event.role != "reward"]
    assert len(calls) > 4
    for kind, field in (
        ("input_tokens", "prompt_tokens"),
        ("output_tokens", "completion_tokens"),
        ("cache_read.input_tokens", "cached_tokens"),
    ):
        points = collected.metrics[f"gen_ai.client.inference.usage.{kind}"].data.data_points
        assert sum(point.value for point in points) == sum(getattr(call.usage, field) for call in calls)
    durations = collected.metrics["gen_ai.client.inference.duration"].data.data_points
    assert sum(point.count for point in durations) == len(calls)


async def test_contents_are_in_no_span_unless_that_was_asked_for() -> None:
    collected = Collected()
    await traced(collected, FakeModel(numbered("grapefruit")), query="What of tangerines?", depth=1)
    assert "tangerines" not in collected.everything()
    assert "grapefruit" not in collected.everything()


async def test_contents_where_they_are_wanted() -> None:
    collected = Collected(contents=True)
    await traced(collected, FakeModel(numbered("grapefruit")), query="What of tangerines?", depth=1)
    for span in collected.named("chat fake"):
        told = attributes(span)
        asked = json.loads(told["gen_ai.input.messages"])
        assert "tangerines" in msgspec.json.encode(asked).decode()
        assert set(asked[0]) == {"role", "parts"}
        (said, *_) = json.loads(told["gen_ai.output.messages"])
        assert said["role"] == "assistant"
        assert "grapefruit" in said["parts"][0]["content"]


async def test_a_call_that_failed_is_reported() -> None:
    collected = Collected()
    events: list[Event] = []
    with collected.telemetry.watching("helpful") as spans, pytest.raises(ModelError):
        try:
            await drive(FakeModel(lambda request, index: ModelError("The model is on fire.")), events=events)
        finally:
            for event in events:
                spans(event)
    chat, search = collected.named("chat fake")[0], collected.one("invoke_agent tpo")
    assert chat.status.status_code == search.status.status_code == StatusCode.ERROR
    assert attributes(chat)["error.type"] == "call_failed"
    assert chat.status.description == "The model is on fire."
    assert attributes(search)["tpo.stop"] == "error"


async def test_a_search_that_was_given_up_and_calls_of_several_answers_at_once() -> None:
    collected = Collected(contents=True)
    events = await traced(Collected(), FakeModel(numbered()), depth=1)
    with collected.telemetry.watching("helpful") as spans:
        for event in events[:-1]:
            spans(event)
        spans(Retrying("policy", "down", 1.5))
        # Two calls of one action: whose answer landed cannot be told, so that none is said to be.
        spans(Called(0, 0, "policy", 0.0, 1.0, Usage(1, 0, 77), retry=True, error="cut short"))
    search = collected.one("invoke_agent tpo")
    assert attributes(search)["tpo.stop"] == "left"
    assert [event.name for event in search.events][-1] == "tpo.retry"
    (cut,) = [span for span in collected.spans if attributes(span).get("error.type") == "cancelled"]
    assert "gen_ai.response.finish_reasons" not in attributes(cut)
    assert attributes(cut)["tpo.retry"] is True
    with collected.telemetry.watching("helpful") as spans:
        spans(Called(0, 0, "policy", 0.0, 1.0, Usage()))  # nobody said what it belongs to
    assert len(collected.spans) == len([e for e in events if isinstance(e, Called)]) + 3


async def test_a_request_through_the_whole_server() -> None:
    collected = Collected()

    def answer(request: Received) -> bytes | None:
        if request.path.endswith("/chat/completions") and "boom" in request.body.decode():
            return response("{}", 404)  # what no other try mends
        return respond(request)

    async with serving(answer) as policy:
        options: Any = {"policy": policy.url, "reward": longest, "check": False}
        service = Service(Setup(options=options))
        await service.open()
        requests = RequestTelemetry(collected.telemetry)
        app = Traced(
            create_app(SearchRegistry(service, Admission(8, 8), requests.watch), Admission(8, 8), AppOptions()),
            requests,
        )
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:

            async def ask(said: str, **headers: str) -> httpx.Response:
                body = {"model": "small:tpo", "messages": [{"role": "user", "content": said}], "tpo": {"width": 2}}
                return await client.post("/v1/chat/completions", json=body, headers=headers)

            answered = await asyncio.gather(ask("Hi", traceparent=PARENT), ask("Ho"))
            failed = await ask("boom")
            await client.get("/v1/models/what/somebody/sent")
            await client.delete("/v1/responses/resp_1/what/somebody/sent")
            await client.get("/health")
        await service.aclose()
    assert [one.status_code for one in (*answered, failed)] == [200, 200, 502]
    first, second, third = sorted(collected.named("POST /v1/chat/completions"), key=lambda span: span.start_time or 0)
    assert first.context is not None
    assert f"{first.context.trace_id:032x}" == PARENT.split("-")[1]
    assert first.parent is not None
    assert first.kind == SpanKind.SERVER
    told = attributes(first)
    assert (told["http.response.status_code"], told["gen_ai.request.model"]) == (200, "small:tpo")
    assert told["tpo.tokens"] == answered[0].json()["usage"]["total_tokens"]
    assert told["tpo.request.id"] == answered[0].headers["x-request-id"]
    # Each search is in its own request's trace, though both were under way at once.
    for span in (first, second):
        assert span.context is not None
        children = [
            s for s in collected.named("invoke_agent tpo") if s.parent and s.parent.span_id == span.context.span_id
        ]
        assert len(children) == 1
        assert children[0].context is not None
        assert children[0].context.trace_id == span.context.trace_id
    assert third.status.status_code == StatusCode.ERROR
    for span in collected.named("chat small"):
        assert attributes(span)["server.address"] == "127.0.0.1" and attributes(span)["server.port"] > 0
    assert attributes(third)["error.type"] == "502"
    for method in ("GET", "DELETE"):  # a path that somebody made up names nothing
        assert "http.route" not in (collected.one(method).attributes or {})
    assert not collected.named("GET /health")


def test_nothing_is_configured_unless_somebody_names_a_collector() -> None:
    there = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    assert configured({}) is None
    assert configured(there | {"OTEL_SDK_DISABLED": "true"}) is None
    assert configured(there | {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "LOGS", "METRICS")}) is None


TRACES = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


@pytest.mark.parametrize("name", [TRACES, ENDPOINT])
async def test_a_collector_gets_the_spans(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(lambda request: response(b"", kind="application/x-protobuf")) as collector:
        monkeypatch.setenv(name, collector.url.removesuffix("/v1") + ("/v1/traces" if "TRACES" in name else ""))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        telemetry = configured({name: collector.url, CONTENTS: "true"})
        assert telemetry is not None
        events: list[Event] = []
        with telemetry.watching("helpful") as spans:
            await drive(FakeModel(numbered("grapefruit")), depth=0, events=events)
            for event in events:
                spans(event)
        await asyncio.to_thread(telemetry.close)
    sent = {request.path: request.body for request in collector.received}
    assert sent.keys() == ({"/v1/traces"} if name == TRACES else {"/v1/traces", "/v1/logs", "/v1/metrics"})
    assert b"invoke_agent tpo" in sent["/v1/traces"]
    assert b"grapefruit" in sent["/v1/traces"]
    if name == ENDPOINT:
        assert b"gen_ai.evaluation.result" in sent["/v1/logs"]
        assert b"gen_ai.client.inference.usage.input_tokens" in sent["/v1/metrics"]


async def test_tpo_serve_sends_traces_where_the_environment_sets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        serving(lambda request: response(b"", kind="application/x-protobuf")) as collector,
        serving(respond) as policy,
    ):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.removesuffix("/v1"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        options: Any = {"policy": policy.url, "reward": longest, "check": False}
        async with running(Setup(options=options)) as url, httpx.AsyncClient(trust_env=False) as client:
            body = {"model": "small:best-of-2", "messages": [{"role": "user", "content": "Hi"}]}
            assert (await client.post(f"{url}/chat/completions", json=body)).status_code == 200
            for name in (b"POST /v1/chat/completions", b"invoke_agent best-of-n", b"chat small", b"score default"):
                await until(lambda name=name: name in b"".join(request.body for request in collector.received))


async def test_a_run_sends_the_same_spans(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("Hi\nHo\n")
    async with (
        serving(lambda request: response(b"", kind="application/x-protobuf")) as collector,
        serving(respond) as policy,
    ):
        monkeypatch.setenv(ENDPOINT, collector.url.removesuffix("/v1"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        options: Any = {"policy": policy.url, "reward": longest, "check": False, "width": 2, "depth": 0}
        await run_dataset(tmp_path / "data.txt", tmp_path / "out", **options)
    sent = b"".join(request.body for request in collector.received if request.path == "/v1/traces")
    assert sent.count(b"invoke_agent tpo") == 2 and b"chat small" in sent and b"server.address" in sent


def test_without_the_extra_nothing_is_missing_until_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for loaded in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, loaded)
    real = builtins.__import__

    def without(name: str, *arguments: Any, **more: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ImportError(name)
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert configured({}) is None
    with pytest.raises(InputError, match=r"pip install 'tpo\[otel\]'"):
        configured({ENDPOINT: "http://127.0.0.1:9"})
