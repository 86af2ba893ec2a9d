"""A span for each request of the server; the spans of its search are below it (`tpo.telemetry`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tpo.engine.events import Listener
from tpo.server.asgi import PROBES, App, Receive, RequestInfo, Scope, Send, request_info
from tpo.server.request_options import RequestOptions
from tpo.telemetry.provider import Telemetry

if TYPE_CHECKING:
    from opentelemetry.trace import Span

# Paths that spans are named after; any other path is a client's own text.
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
_LONGEST = 200
_RESPONSE = re.compile(r"/v1/responses/[^/]+(/cancel|/input_items)?")


class RequestTelemetry:
    """Telemetry of a server's requests.

    Args:
        telemetry: where spans come from.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    @contextmanager
    def watch(self, info: RequestInfo, options: RequestOptions) -> Iterator[Listener]:
        """Record what happens for an aligned request."""
        with self._telemetry.watching(options.reward or "default", info.servers) as spans:
            yield spans

    @contextmanager
    def request(self, scope: Scope) -> Iterator[Span]:
        """Trace a request, as a part of its client's trace where it names one."""
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        method, path = _method(scope["method"]), scope["path"]
        found = _RESPONSE.fullmatch(path)
        route = path if found is None else f"/v1/responses/{{id}}{found[1] or ''}"
        known = found is not None or path in _ROUTES
        attributes = {"http.request.method": method, "url.path": path[:_LONGEST], "url.scheme": scope["scheme"]}
        with self._telemetry.tracer.start_as_current_span(
            f"{method} {route}" if known else method,
            TraceContextTextMapPropagator().extract(headers),
            SpanKind.SERVER,
            attributes | ({"http.route": route} if known else {}),
        ) as span:
            yield span


class Traced:
    """Has a span for each request. Stands outside of everything.

    Args:
        app: what handles them.
        telemetry: where spans come from.
    """

    def __init__(self, app: App, telemetry: RequestTelemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request (ASGI)."""
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        with self._telemetry.request(scope) as span:
            try:
                await self._app(scope, receive, send)
            finally:
                _describe(span, request_info(scope))


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
