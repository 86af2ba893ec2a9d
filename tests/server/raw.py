"""Apps behind a real socket with our connections, and clients that send whatever bytes they like."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
import uvicorn
from uvicorn.server import ServerState

from tpo.server.asgi import App, Receive, Scope, Send
from tpo.server.connection import Connection

HOST = b"Host: localhost\r\n"
CLOSE = b"Connection: close"
POST = b"POST / HTTP/1.1\r\n" + HOST


@dataclass
class Echo:
    """An app that says what it got, and knows what became of it.

    Attributes:
        scopes: the requests that reached it.
        left: how many of their clients left before they were answered.
        hold: where it is set, answers wait until it is cleared by `go`.
    """

    scopes: list[Scope] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    left: int = 0
    go: asyncio.Event | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    reads: bool = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request (ASGI)."""
        self.scopes.append(scope)
        self.arrived.set()
        body = b""
        if self.reads:
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    self.left += 1
                    return
                body += message.get("body", b"")
                if not message.get("more_body"):
                    break
        self.bodies.append(body)
        if self.go is not None:
            waiting, leaving = asyncio.ensure_future(self.go.wait()), asyncio.ensure_future(receive())
            await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if leaving.done() and not self.go.is_set():
                self.left += 1
                return
            leaving.cancel()
        told = {"path": scope["path"], "method": scope["method"], "bytes": len(body)}
        content = msgspec.json.encode(told)
        length = (b"content-length", str(len(content)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": content})


@dataclass
class Address:
    """Where an app listens."""

    port: int
    state: ServerState = field(default_factory=ServerState)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to it."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, *pieces: bytes, pause: float = 0.0, end: bool = False) -> bytes:
        """Send some bytes, and return all that comes back until the connection is closed.

        Args:
            pieces: what to send, one after the other.
            pause: seconds between them.
            end: say that no more comes.
        """
        reader, writer = await self.connect()
        came: list[bytes] = []
        reading = asyncio.ensure_future(_collect(reader, came))
        try:
            with suppress(OSError):  # it is closed already, and what was said before that counts
                for number, piece in enumerate(pieces):
                    if number:
                        await asyncio.sleep(pause)
                    writer.write(piece)
                    await writer.drain()
                if end:
                    writer.write_eof()
            await asyncio.wait_for(reading, 20)
            return b"".join(came)
        finally:
            writer.close()


async def _collect(reader: asyncio.StreamReader, came: list[bytes]) -> None:
    with suppress(OSError):
        while piece := await reader.read(65_536):
            came.append(piece)


@asynccontextmanager
async def listening(app: App, **options: Any) -> AsyncIterator[Address]:
    """Serve an app on a free port of the loopback."""
    config = uvicorn.Config(app, http=Connection, ws="none", log_config=None, access_log=False, **options)
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(config, state, {}), "127.0.0.1", 0, backlog=4096
    )
    try:
        yield Address(server.sockets[0].getsockname()[1], state)
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        for task in list(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)


def request(method: str = "GET", path: str = "/", *headers: bytes, body: bytes | None = None) -> bytes:
    """A request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1\r\n".encode(), HOST, *(line + b"\r\n" for line in headers)]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}\r\n".encode())
    return b"".join(lines) + b"\r\n" + (body or b"")


def statuses(answers: bytes) -> list[int]:
    """The statuses of all responses in what came back."""
    return [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]


async def fine(at: Address) -> None:
    """Another client is answered all the while."""
    assert statuses(await at.say(request("GET", "/fine", CLOSE))) == [200]


async def until(true: Any, seconds: float = 10.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - what is waited for is often no event of ours
            await asyncio.sleep(0.01)
