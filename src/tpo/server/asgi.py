"""What the server's middlewares share: ASGI's types, the facts about a request, and refusals."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import msgspec

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Header: TypeAlias = tuple[bytes, bytes]

_INFO = "tpo.info"
# Kinds of errors by status, as OpenAI names them.
_KINDS = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


class BrokenOff(Exception):
    """An answer broke off after its beginning was passed on: the connection is closed, so that it shows."""


class RequestInfo(msgspec.Struct):
    """The facts about a request; middlewares and routes fill them in.

    Attributes:
        id: the request's id, which the response carries as `x-request-id`.
        began: seconds on the clock of `time.monotonic`.
        client: the name of the key that it came with.
        weight: the key's share of the server, against that of other keys.
        model: the model that the client named, preset included.
        kind: `aligned` or `passed`, once that is decided.
        servers: host and port of each role's server, once a search begins.
        tokens: prompt and completion tokens of all roles together.
        status: the response's status.
        spent: called with tokens as they are counted, for the client's limits.
        background: nobody waits for the answer, so that its time counts from its turn.
    """

    id: str
    began: float = msgspec.field(default_factory=time.monotonic)
    client: str | None = None
    weight: float = 1.0
    model: str | None = None
    kind: str | None = None
    servers: dict[str, tuple[str, int | None]] = {}
    tokens: int = 0
    status: int | None = None
    spent: Callable[[int], None] | None = None
    background: bool = False

    def spend(self, tokens: int) -> None:
        """Count tokens of this request."""
        self.tokens += tokens
        if self.spent is not None:
            self.spent(tokens)


def request_info(scope: Scope) -> RequestInfo:
    """The facts about a request."""
    info = scope.get(_INFO)
    if not isinstance(info, RequestInfo):
        info = scope[_INFO] = RequestInfo("unknown")
    return info


def begin_request(scope: Scope, id: str) -> RequestInfo:
    """Attach the facts to a new request."""
    info = scope[_INFO] = RequestInfo(id)
    return info


def header(scope: Scope, name: bytes) -> bytes | None:
    """A header's value, the first one where there are several.

    Args:
        scope: the request.
        name: in lower case.
    """
    return next((value for key, value in scope["headers"] if key == name), None)


async def refuse(
    send: Send, status: int, message: str, *, code: str | None = None, headers: Iterable[Header] = ()
) -> None:
    """Answer with an error in OpenAI's shape.

    Args:
        send: the way to the client.
        status: the HTTP status.
        message: what is wrong and what to do.
        code: a word for programs.
        headers: further headers.
    """
    body = error_body(status, message, code)
    length = (b"content-length", str(len(body)).encode())
    head = [(b"content-type", b"application/json"), length, *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


def error_body(status: int, message: str, code: str | None = None) -> bytes:
    """An error in OpenAI's shape, with the field `type` that Anthropic's clients expect beside it."""
    kind = _KINDS.get(status, "server_error" if status >= 500 else "invalid_request_error")
    error = {"message": message, "type": kind, "param": None, "code": code}
    return msgspec.json.encode({"type": "error", "error": error})


@asynccontextmanager
async def client_leaves(receive: Receive) -> AsyncIterator[asyncio.Future[None]]:
    """A future that is done when the client has left; the request's body must have been read."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    watching = asyncio.ensure_future(watch())
    try:
        yield watching
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
