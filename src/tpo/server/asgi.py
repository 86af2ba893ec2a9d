"""What the server's middlewares share: ASGI's types, the facts about a request, responses in one piece, and the end of
work that no client waits for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from types import TracebackType
from typing import Any, Self, TypeAlias

import msgspec

from tpo.server.errors import ApiError
from tpo.telemetry.addresses import Address

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Header: TypeAlias = tuple[bytes, bytes]

# Probes come every few seconds, and would fill logs, metrics and traces.
PROBES = frozenset({"/health", "/ready", "/metrics"})

_INFO = "tpo.info"
# The end of a request's connection, in the scopes that our own connections make.
CONNECTION_END = "tpo.connection_end"


class BrokenOff(Exception):
    """An answer broke off after its beginning was passed on: the connection is closed, so that it shows."""


class ConnectionEnd:
    """The end of a connection.

    Attributes:
        callbacks: called when the connection is lost.
        over: it is lost.
    """

    def __init__(self) -> None:
        self.callbacks: set[Callable[[], None]] = set()
        self.over = False

    def happen(self) -> None:
        """The connection is lost."""
        self.over = True
        for callback in [*self.callbacks]:
            callback()


class RequestInfo(msgspec.Struct):
    """The facts about a request; middlewares and routes fill them in.

    Attributes:
        id: the request's id, which the response carries as `x-request-id`.
        began: seconds on the clock of `time.monotonic`.
        client: the name of the key that it came with.
        weight: the key's share of the server, against that of other keys.
        model: the model that the client named, preset included.
        kind: `aligned` or `passed`, once that is decided.
        servers: of each role, once a search begins.
        tokens: prompt and completion tokens of all roles together.
        status: the response's status.
        spent: called with tokens as they are counted, for the client's limits.
        concurrency: requests that the client may have under way at once; None for any number.
        background: no client waits for the answer, so that its time counts from its turn.
        connection_end: the end of its connection; None where the ASGI server does not report it.
    """

    id: str
    began: float = msgspec.field(default_factory=time.monotonic)
    client: str | None = None
    weight: float = 1.0
    model: str | None = None
    kind: str | None = None
    servers: dict[str, Address] = {}
    tokens: int = 0
    status: int | None = None
    spent: Callable[[int], None] | None = None
    concurrency: int | None = None
    background: bool = False
    connection_end: ConnectionEnd | None = None

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
    info = scope[_INFO] = RequestInfo(id, connection_end=scope.get(CONNECTION_END))
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
    await send_json(send, status, ApiError(status, message, code=code).body(), headers)


async def send_json(send: Send, status: int, body: bytes, headers: Iterable[Header] = ()) -> None:
    """Send a response of JSON in one piece."""
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


class CancelScope:
    """A block of work that can be ended from outside, as `asyncio.timeout` ends one when its time is up.

    Attributes:
        cancelled: it was ended, and the block was left without an exception.
    """

    def __init__(self) -> None:
        self.cancelled = False
        self._task: asyncio.Task[Any] | None = None
        self._earlier = 0

    def cancel(self) -> None:
        """End the block."""
        if self._task is not None and not self.cancelled:
            self.cancelled = True
            self._task.cancel()

    async def __aenter__(self) -> Self:
        """Begin the block, which belongs to the task that runs it."""
        self._task = asyncio.current_task()
        assert self._task is not None
        self._earlier = self._task.cancelling()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Leave the block; a cancellation that came from elsewhere goes on."""
        task, self._task = self._task, None
        assert task is not None
        return self.cancelled and task.uncancel() <= self._earlier and kind is asyncio.CancelledError


class WhileConnected(CancelScope):
    """A block that ends when the client leaves; the request's body must have been read.

    Args:
        receive: the client's messages, watched by a task where the end of the connection is not reported.
        info: the request.
    """

    def __init__(self, receive: Receive, info: RequestInfo) -> None:
        super().__init__()
        self._receive = receive
        self._end = info.connection_end
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin the block."""
        await super().__aenter__()
        if self._end is None:
            self._watching = asyncio.create_task(self._watch())
        elif self._end.over:
            self.cancel()
        else:
            self._end.callbacks.add(self.cancel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Leave the block."""
        if self._end is not None:
            self._end.callbacks.discard(self.cancel)
        if self._watching is not None:
            self._watching.cancel()
        return await super().__aexit__(kind, error, trace)

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.cancel()
