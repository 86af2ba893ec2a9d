"""The application: routes, and the middlewares around them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route

from tpo.server.admission import Admission
from tpo.server.answers import Answers
from tpo.server.asgi import App, Receive, Scope, Send, request_info
from tpo.server.bodies import BYTES, SECONDS, Bodies
from tpo.server.endpoint import CountTokens, ProtocolEndpoint
from tpo.server.errors import ApiError, BadRequest, explained
from tpo.server.guard import Guard
from tpo.server.keys import OPEN, Keyed, Keys
from tpo.server.limits import Limited
from tpo.server.metrics import Metrics, metrics_route
from tpo.server.openapi import document
from tpo.server.protocols.chat import CHAT
from tpo.server.protocols.completions import COMPLETIONS
from tpo.server.protocols.messages.reader import COUNTED, MESSAGES
from tpo.server.protocols.responses.reader import RESPONSES
from tpo.server.registry import SearchRegistry
from tpo.server.service import Service
from tpo.server.store.background import BackgroundResponses
from tpo.server.store.endpoint import ResponsesEndpoint, stored_routes
from tpo.server.store.folder import ResponseStore

JSON = "application/json"


class AppOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Who is served, and what may come in.

    Attributes:
        keys: the clients' keys; None where every client is served.
        body_bytes: bytes of a request.
        body_seconds: seconds for a request to come in.
    """

    keys: Keys | None = None
    body_bytes: int = BYTES
    body_seconds: float = SECONDS


def create_app(
    searches: SearchRegistry,
    passed: Admission,
    options: AppOptions,
    *,
    metrics: Metrics | None = None,
    page: Starlette | None = None,
    store: ResponseStore | None = None,
) -> App:
    """Make the server.

    Args:
        searches: runs searches; the caller opens its service.
        passed: how many requests to plain models are worked on at once.
        options: who is served, and what may come in.
        metrics: where requests are counted; shown at /metrics.
        page: the page at /ui.
        store: where responses are stored; closed with the application.

    Returns:
        an ASGI application.
    """
    service, serving = searches.service, searches.service.setup.serving
    answers = Answers(searches, passed)
    background = None if store is None else BackgroundResponses(answers, store, options.keys)
    responses = ProtocolEndpoint(RESPONSES, answers) if background is None else ResponsesEndpoint(answers, background)
    protocols: dict[str, App] = {
        "/v1/chat/completions": ProtocolEndpoint(CHAT, answers),
        "/v1/responses": responses,
        "/v1/messages": ProtocolEndpoint(MESSAGES, answers),
        "/v1/messages/count_tokens": CountTokens(COUNTED, answers),
        "/v1/completions": ProtocolEndpoint(COMPLETIONS, answers),
    }
    routes = [
        *[Route(path, endpoint, methods=["POST"]) for path, endpoint in protocols.items()],
        *(stored_routes(background, service) if background is not None else []),
        Route("/v1/models", _models),
        Route("/v1/models/{name:path}", _model),
        Route("/health", _health),
        Route("/ready", _ready),
        Route("/openapi.json", _described(stored=store is not None)),
        *([metrics_route(metrics)] if metrics is not None else []),
        *([Route("/ui", _with_slash), Mount("/ui", page)] if page is not None else []),
    ]

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if background is not None:
            background.open()
        yield
        if background is not None:
            await background.aclose()
        await answers.aclose()

    inner = Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={HTTPException: _no_route, ApiError: _refused, BadRequest: _refused, Exception: _bug},
    )
    inner.state.service = service
    # A path with one slash more is another path: redirecting a POST makes clients lose its body.
    inner.router.redirect_slashes = False

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        # Nearly all requests go to these; Starlette's routing would cost them as much as all of our own checks.
        endpoint = protocols.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        await (endpoint or inner)(scope, receive, send)

    app: App = Bodies(routed, most=options.body_bytes, seconds=options.body_seconds)
    if options.keys is not None:
        app = Limited(app, options.keys.account_of)
        app = Keyed(app, options.keys, [*OPEN])
    if serving.allow_origin:
        # The browser's preflight request comes without a key.
        app = CORSMiddleware(
            app,
            allow_origins=list(serving.allow_origin),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=["x-request-id", "retry-after"],
        )
    # DNS rebinding is harmless where a key is needed: the page has none.
    hosts = None if options.keys is not None else serving.allow_host
    return Guard(app, hosts=hosts, origins=serving.allow_origin, metrics=metrics)


async def _models(request: Request) -> Response:
    service: Service = request.app.state.service
    service.expect_ready()
    return _json(service.models.listing(service.created))


async def _model(request: Request) -> Response:
    service: Service = request.app.state.service
    service.expect_ready()
    return _json(service.models.card(request.path_params["name"], service.created, service.setup.serving))


async def _with_slash(request: Request) -> Response:
    return RedirectResponse("ui/", 307)


async def _health(request: Request) -> Response:
    return _json({"status": "ok"})


async def _ready(request: Request) -> Response:
    service: Service = request.app.state.service
    service.expect_ready()
    return _json({"status": "ready", "models": service.models.names})


@cache  # the schemas of all requests take longer than the rest of the application
def _document(stored: bool) -> bytes:
    from importlib.metadata import version

    return msgspec.json.encode(document(version("tpo"), stored=stored))


def _described(*, stored: bool) -> Any:
    body = _document(stored)

    async def described(request: Request) -> Response:
        return Response(body, media_type=JSON)

    return described


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type=JSON)


async def _refused(request: Request, error: Exception) -> Response:
    refusal = explained(error)
    return Response(refusal.body(), refusal.status, refusal.headers, JSON)


async def _bug(request: Request, error: Exception) -> Response:
    # Starlette raises the error again, so that the guard logs it.
    id = request_info(request.scope).id
    message = f"A bug in the server; its log has more under {id}."
    return Response(ApiError(500, message, code="internal_error").body(), 500, None, JSON)


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path, method = request.url.path[:200], request.method
    message = {
        404: f"There is nothing at {path}: tpo serves /v1/chat/completions, /v1/responses, /v1/messages, "
        f"/v1/completions and /v1/models.",
        405: f"{path} does not take {method}.",
    }.get(error.status_code, str(error.detail))
    return Response(ApiError(error.status_code, message).body(), error.status_code, error.headers, JSON)
