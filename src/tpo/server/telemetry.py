"""Traces after OpenTelemetry's conventions for generative AI: a span for a request, its search, and each call in it.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/

Made from the events of a search, so that the engine does not depend on it. Needs the extra `otel`; without
it, and where no collector was named, nothing here is imported or done. docs/observability.md has the attributes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tpo.engine.events import Listener
from tpo.errors import InputError
from tpo.server.asgi import App, Receive, RequestInfo, Scope, Send, request_info
from tpo.server.request_options import RequestOptions
from tpo.server.spans import Spans

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

log = logging.getLogger("tpo.server")

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
CONTENTS = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
# What a span may be named after; other paths are what somebody sent.
_ROUTES = frozenset(
    {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/responses",
        "/v1/models",
    }
)
# Probes come every few seconds and would fill the log.
_QUIET = frozenset({"/health", "/ready", "/metrics"})
_LONGEST = 200


class Telemetry:
    """Traces of one server.

    Args:
        provider: OpenTelemetry's, which knows where spans go.
        contents: include prompts and answers.
    """

    def __init__(self, provider: TracerProvider, *, contents: bool = False) -> None:
        from importlib.metadata import version

        self._provider = provider
        self._tracer = provider.get_tracer("tpo", version("tpo"))
        self._contents = contents

    @contextmanager
    def watch(self, info: RequestInfo, options: RequestOptions) -> Iterator[Listener]:
        """Trace what happens for an aligned request."""
        with self.watching(options.reward or "default", info.servers) as spans:
            yield spans

    @contextmanager
    def watching(self, reward: str, servers: Mapping[str, tuple[str, int | None]] | None = None) -> Iterator[Spans]:
        """Trace a search, below the span that is open where this is called.

        Args:
            reward: the reward's name in the configuration.
            servers: host and port of each role's server.
        """
        spans = Spans(self._tracer, reward, contents=self._contents, servers=servers)
        try:
            yield spans
        finally:
            spans.close()

    @contextmanager
    def request(self, scope: Scope) -> Iterator[Span]:
        """Trace a request, as a part of its client's trace where it names one."""
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        method, path = _method(scope["method"]), scope["path"]
        known = path in _ROUTES
        attributes = {"http.request.method": method, "url.path": path[:_LONGEST], "url.scheme": scope["scheme"]}
        with self._tracer.start_as_current_span(
            f"{method} {path}" if known else method,
            TraceContextTextMapPropagator().extract(headers),
            SpanKind.SERVER,
            attributes | ({"http.route": path} if known else {}),
        ) as span:
            yield span

    def close(self) -> None:
        """Send what has not been sent; seconds where the collector is slow."""
        self._provider.shutdown()


class Traced:
    """Has a span for each request. Stands outside of everything.

    Args:
        app: what handles them.
        telemetry: where spans come from.
    """

    def __init__(self, app: App, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request (ASGI)."""
        if scope["type"] != "http" or scope["path"] in _QUIET:
            await self._app(scope, receive, send)
            return
        with self._telemetry.request(scope) as span:
            try:
                await self._app(scope, receive, send)
            finally:
                _describe(span, request_info(scope))


def configured(environment: Mapping[str, str]) -> Telemetry | None:
    """Traces as OpenTelemetry's own variables configure them; None where they are not set.

    Args:
        environment: the process's. OTEL_EXPORTER_OTLP_ENDPOINT (or …_TRACES_ENDPOINT) names the collector, and
            OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true adds prompts and answers. Sampling, headers,
            timeouts and the service's name are OpenTelemetry's to read.

    Raises:
        InputError: traces are on, and the extra is not installed.
    """
    disabled = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if disabled or environment.get("OTEL_TRACES_EXPORTER") == "none" or not any(map(environment.get, ENDPOINTS)):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        variable = next(name for name in ENDPOINTS if environment.get(name))
        raise InputError(f"{variable} turns on traces, which need OpenTelemetry: pip install 'tpo[otel]'.") from error
    name = environment.get("OTEL_SERVICE_NAME") or "tpo"
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Telemetry(provider, contents=environment.get(CONTENTS, "").lower() in ("true", "span_only"))


def _describe(span: Span, info: RequestInfo) -> None:
    from opentelemetry.trace import Status, StatusCode

    attributes: dict[str, Any] = {
        "http.response.status_code": info.status,
        "gen_ai.request.model": info.model and info.model[:_LONGEST],
        "tpo.request.id": info.id,
        "tpo.client": info.client,
        "tpo.kind": info.kind,
        "tpo.tokens": info.tokens or None,
    }
    span.set_attributes({name: value for name, value in attributes.items() if value is not None})
    if info.status is None:
        span.set_attribute("error.type", "client_left")
    elif info.status >= 500:
        span.set_attribute("error.type", str(info.status))
        span.set_status(Status(StatusCode.ERROR))


def _method(method: str) -> str:
    return method if method in ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH") else "_OTHER"
