"""A server whose every byte the test decides, for what real servers do only on bad days."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

# What to send for a request, `None` to close without a word. The connection is closed after it.
Respond: TypeAlias = Callable[["Received"], bytes | None]


@dataclass
class Received:
    """A request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body)
        return value


@dataclass
class Server:
    """Where the server listens, and what it got."""

    url: str
    received: list[Received] = field(default_factory=list)
    listening: asyncio.Server | None = None

    def close(self) -> None:
        """Listen no more."""
        if self.listening is not None:
            self.listening.close()

    def bodies(self) -> list[dict[str, Any]]:
        """The JSON bodies of the completions that were asked for."""
        return [request.json for request in self.received if request.path.endswith("/chat/completions")]


@asynccontextmanager
async def serving(respond: Respond) -> AsyncIterator[Server]:
    """Serve on a free port of the loopback interface."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            method, path, _ = first.split(" ")
            request = Received(method, path, headers, body)
            server.received.append(request)
            answer = respond(request)
            if answer is not None:
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    server = Server(f"http://127.0.0.1:{port}/v1", listening=listening)
    async with listening:
        yield server


def response(
    body: bytes | str, status: int = 200, kind: str = "application/json", short: int = 0, **headers: str
) -> bytes:
    """An HTTP response; `short` promises so many bytes more than it holds."""
    data = body.encode() if isinstance(body, str) else body
    extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    length = f"Content-Length: {len(data) + short}\r\nConnection: close"
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n{length}\r\n{extra}\r\n"
    return head.encode() + data


def stream(*chunks: dict[str, Any] | str, done: bool = True, short: int = 0) -> bytes:
    """A response of server-sent events."""
    lines = [f"data: {chunk if isinstance(chunk, str) else json.dumps(chunk)}\n\n" for chunk in chunks]
    if done:
        lines.append("data: [DONE]\n\n")
    return response("".join(lines), kind="text/event-stream", short=short)


def delta(text: str | None, index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """One chunk of a streamed completion."""
    content = {} if text is None else {"content": text}
    return {"choices": [{"index": index, "delta": {**content, **more}, "finish_reason": finish}]}


def models(*names: str, owned_by: str = "somebody", **more: Any) -> bytes:
    """A model list."""
    cards = [{"id": name, "object": "model", "owned_by": owned_by, **more} for name in names]
    return response(json.dumps({"object": "list", "data": cards}))


def error(message: str, status: int = 400, **more: Any) -> bytes:
    """An error in OpenAI's shape."""
    return response(json.dumps({"error": {"message": message, "type": "x", "code": status, **more}}), status)
