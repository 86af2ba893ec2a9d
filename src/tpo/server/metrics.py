"""Prometheus metrics: requests, seconds of each stage, tokens, and the rewards before and after.

Labels are words of ours (roles, stages, methods) and names out of the configuration (models, rewards), and never what a
client sent, so that no client can make this grow. docs/observability.md lists all of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tpo.candidate import best_reward
from tpo.engine.events import Event, Listener, TextGrew
from tpo.engine.records import Called, Ended, Judged, Prompted, Sampled, Scored, Started
from tpo.server.admission import Admission
from tpo.server.asgi import RequestInfo
from tpo.server.request_options import RequestOptions

# From a request that is passed through to a search that takes minutes.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
# Rewards are probabilities, log-odds, or grades of one to ten.
REWARDS = (-50.0, -20.0, -10.0, -5.0, -2.0, -1.0, -0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
GAINS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_COUNTS = (b"tpo_reward_before_count", b"tpo_reward_after_count")
# Different names that a label takes from a configuration; more are one.
MOST_NAMES = 100
OTHER = "other"
# Stages that are no prompt's.
QUEUE, REWARD, JUDGE = "queue", "reward", "judge"


class Metrics:
    """The numbers of one server.

    Args:
        registry: where they are kept; their own registry unless given.
        aligned: the gate of requests that are aligned.
        passed: the gate of requests that are passed through.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        aligned: Admission | None = None,
        passed: Admission | None = None,
    ) -> None:
        # A second series for each counter, which no dashboard reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = registry or CollectorRegistry()
        self._names = _Names()
        # Looking a series up by its labels takes longer than counting.
        self._series: dict[tuple[str, int | None], tuple[Counter, Histogram]] = {}

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(name, what, labels, registry=registry)

        def histogram(name: str, what: str, labels: tuple[str, ...], buckets: tuple[float, ...] = SECONDS) -> Histogram:
            return Histogram(name, what, labels, buckets=buckets, registry=registry)

        self._open = 0
        open_now = Gauge("tpo_requests_open", "Requests that are not answered yet, probes aside.", registry=registry)
        open_now.set_function(lambda: self._open)
        self._requests = counter("tpo_requests", "Requests that are over.", "kind", "status")
        self._seconds = histogram("tpo_request_seconds", "From a request to the end of its answer.", ("kind",))
        self._stages = histogram(
            "tpo_stage_seconds", "Waiting for a place, and calls, by what they were for.", ("stage",)
        )
        self._waits = histogram("tpo_call_wait_seconds", "A call's wait for room at its server.", ("role",))
        self._calls = counter("tpo_calls", "Calls of models and rewards.", "role", "outcome")
        self._retries = counter("tpo_retries", "Calls that repeated a failed one.", "role")
        self._tokens = counter("tpo_tokens", "Tokens of aligned requests.", "role", "model", "type")
        self._passed_tokens = counter("tpo_passed_tokens", "Tokens of requests that were passed through.")
        self._searches = counter("tpo_searches", "Searches that are over, by why.", "method", "stop")
        self._candidates = counter("tpo_candidates", "Answers that were drawn.", "outcome")
        self._before = histogram("tpo_reward_before", "The best reward among the first answers.", ("reward",), REWARDS)
        self._after = histogram("tpo_reward_after", "The reward of the answer that was given.", ("reward",), REWARDS)
        self._gain = histogram("tpo_reward_gain", "After less before.", ("reward",), GAINS)
        self._judged = counter("tpo_judged", "The held-out judge's view of the answer beside the first one.", "outcome")
        registry.register(_Gates({"aligned": aligned, "passed": passed}))
        ProcessCollector(registry=registry)

    def begin(self) -> None:
        """A request has come."""
        self._open += 1

    def request(self, kind: str | None, status: int | None, seconds: float, tokens: int = 0) -> None:
        """A request is over.

        Args:
            kind: aligned or passed; None for one that was neither.
            status: of its response; None where its client left before there was one.
            seconds: how long it took.
            tokens: what it cost; counted here for those that were passed through.
        """
        self._open -= 1
        counter, histogram = self._request_series(kind or OTHER, status)
        counter.inc()
        histogram.observe(seconds)
        if kind == "passed":
            self._passed_tokens.inc(tokens)

    def _request_series(self, kind: str, status: int | None) -> tuple[Counter, Histogram]:
        series = self._series.get((kind, status))
        if series is None:
            shown = "left" if status is None else _status(status)
            series = self._requests.labels(kind, shown), self._seconds.labels(kind)
            if shown != OTHER:  # there is no end of those
                self._series[kind, status] = series
        return series

    @contextmanager
    def watch(self, info: RequestInfo, options: RequestOptions) -> Iterator[Listener]:
        """Count what happens for an aligned request that has just been given its place."""
        self._stages.labels(QUEUE).observe(time.monotonic() - info.began)
        with self.watching(options.reward or "default") as watching:
            yield watching

    @contextmanager
    def watching(self, reward: str) -> Iterator[Watching]:
        """Count what happens in a search.

        Args:
            reward: the reward's name in the configuration.
        """
        watching = Watching(self, reward)
        try:
            yield watching
        finally:
            watching.close()

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """All numbers, and the media type of their format.

        Args:
            accept: the header of the request: OpenMetrics where it names that, Prometheus' text format otherwise.
        """
        if "application/openmetrics-text" not in accept:
            return generate_latest(self.registry), CONTENT_TYPE_PLAIN_0_0_4
        # OpenMetrics has no sum for histograms of values below zero, as rewards may be, and no count without a sum; the
        # last bucket has their number.
        lines = openmetrics.generate_latest(self.registry).splitlines(keepends=True)  # type: ignore[no-untyped-call]
        text = b"".join(line for line in lines if not line.startswith(_COUNTS))
        return text, openmetrics.CONTENT_TYPE_LATEST

    def _call(self, record: Called, stage: str, model: str) -> None:
        role = record.role
        outcome = "ok" if record.error is None else "cut short" if record.cut_short else "failed"
        self._calls.labels(role, outcome).inc()
        if record.retry:
            self._retries.labels(role).inc()
        if outcome == "ok":
            self._stages.labels(stage).observe(record.seconds)
        self._waits.labels(role).observe(record.waited)
        model, usage = self._names.bounded("model", model), record.usage
        for kind, tokens in (
            ("prompt", usage.prompt_tokens),
            ("cached", usage.cached_tokens),
            ("completion", usage.completion_tokens),
        ):
            if tokens:
                self._tokens.labels(role, model, kind).inc(tokens)

    def _ended(self, method: str, stop: str, reward: str, before: float | None, after: float | None) -> None:
        self._searches.labels(method, stop).inc()
        reward = self._names.bounded("reward", reward)
        if before is not None:
            self._before.labels(reward).observe(before)
        if after is not None:
            self._after.labels(reward).observe(after)
        if before is not None and after is not None:
            self._gain.labels(reward).observe(after - before)


class Watching:
    """Listens to one search.

    Args:
        metrics: where events are counted.
        reward: the reward's name in the configuration.
    """

    def __init__(self, metrics: Metrics, reward: str) -> None:
        self._metrics = metrics
        self._reward = reward
        self._started: Started | None = None
        self._stages: dict[tuple[int, int], str] = {}
        self._first: set[str] = set()
        self._scores: dict[str, Scored] = {}
        self._over = False

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, TextGrew):  # by far the most there is, and nothing to us
            return
        match event:
            case Started():
                self._started = event
            case Prompted():
                self._stages[event.turn, event.action] = event.name
            case Called():
                self._metrics._call(event, self._stage(event), self._model(event.role))
            case Sampled():
                if event.step == 0:
                    self._first.add(event.id)
                self._metrics._candidates.labels("failed" if event.error else "drawn").inc()
            case Scored():
                self._scores[event.id] = event  # the last counts: a reward that looks at the pool may change its mind
            case Judged():
                self._metrics._judged.labels(_outcome(event)).inc()
            case Ended():
                self._end(event.stop, event.chosen)
            case _:
                pass

    def close(self) -> None:
        """Count a search that has not ended as given up."""
        if self._started is not None and not self._over:
            self._end("left", None)

    def _end(self, stop: str, chosen: str | None) -> None:
        self._over = True
        method = self._started.plan.method if self._started is not None else OTHER
        before = best_reward(self._scores[id] for id in self._first if id in self._scores)
        after = self._scores.get(chosen) if chosen is not None else None
        self._metrics._ended(method, stop, self._reward, before, None if after is None else after.reward)

    def _stage(self, record: Called) -> str:
        return record.role if record.role in (REWARD, JUDGE) else self._stages.get((record.turn, record.action), OTHER)

    def _model(self, role: str) -> str:
        if role == "reward":
            return self._reward
        if role == JUDGE:
            return JUDGE
        models = self._started.plan.models if self._started is not None else {}
        return next((model for player, model in models.items() if player == role), OTHER)


def _outcome(judged: Judged) -> str:
    first, answer = judged.first_score, judged.chosen_score
    if first is None or answer is None:
        return "failed"
    return "same" if answer == first else "better" if answer > first else "worse"


def metrics_route(metrics: Metrics) -> Route:
    """/metrics."""

    async def exposed(request: Request) -> Response:
        content, media_type = metrics.exposition(request.headers.get("accept", ""))
        return Response(content, headers={"content-type": media_type})

    return Route("/metrics", exposed)


class _Gates(Collector):
    """How full the gates are, at the moment of a scrape."""

    def __init__(self, gates: dict[str, Admission | None]) -> None:
        self._gates = {kind: gate for kind, gate in gates.items() if gate is not None}

    def collect(self) -> Iterator[Metric]:
        """The numbers."""
        measured: list[tuple[str, str, Callable[[Admission], int]]] = [
            ("tpo_in_flight", "Requests that are worked on.", lambda gate: gate.live),
            ("tpo_queued", "Requests that wait for a place.", lambda gate: gate.waiting),
            ("tpo_in_flight_limit", "Requests that may be worked on at once.", lambda gate: gate.concurrency),
            ("tpo_queued_limit", "Requests that may wait.", lambda gate: gate.queue),
        ]
        for name, what, value in measured:
            family = GaugeMetricFamily(name, what, labels=["kind"])
            for kind, gate in self._gates.items():
                family.add_metric([kind], value(gate))
            yield family


class _Names:
    """Keeps the values of a label to so many."""

    def __init__(self) -> None:
        self._known: dict[str, set[str]] = {}

    def bounded(self, label: str, name: str) -> str:
        """The name, or what stands for all that are too many."""
        known = self._known.setdefault(label, set())
        if name not in known:
            if len(known) >= MOST_NAMES:
                return OTHER
            known.add(name)
        return name


def _status(status: int) -> str:
    # The field of a server behind us may hold anything.
    with suppress(ValueError):
        return str(HTTPStatus(status).value)
    return OTHER
