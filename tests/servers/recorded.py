"""Exchanges with real servers: recorded through a proxy, and replayed to the very bytes that were sent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from models.server import Received, response, serving


@asynccontextmanager
async def recording(
    url: str, file: Path, source: str, scrub: Callable[[str, str], str], key: str | None = None
) -> AsyncIterator[str]:
    """A proxy in front of a real server that writes the exchanges down.

    Args:
        url: the server.
        file: where the exchanges go.
        source: what the server is, for the file.
        scrub: takes a path and what was received there, and returns what may be written down.
        key: the server's key.
    """
    exchanges: list[dict[str, Any]] = []
    root = url.removesuffix("/v1")
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}

    def forward(request: Received) -> bytes:
        # It holds the loop up until the answer is there, which keeps the exchanges apart.
        answer = httpx.request(
            request.method, root + request.path, content=request.body, headers=headers, timeout=300, trust_env=False
        )
        exchange = {"method": request.method, "path": request.path, "sent": request.body.decode()}
        received = scrub(request.path, answer.text)
        exchanges.append({**exchange, "status": answer.status_code, "received": received})
        return response(answer.content, answer.status_code)

    async with serving(forward) as server:
        yield server.url
    _write(file, {"source": source, "exchanges": exchanges})


@asynccontextmanager
async def replaying(file: Path) -> AsyncIterator[str]:
    """A server that gives a real one's answers, to the very bytes that the real one got."""
    known = {(e["method"], e["path"], e["sent"]): response(e["received"], e["status"]) for e in _exchanges(file)}

    def respond(request: Received) -> bytes:
        asked = (request.method, request.path, request.body.decode())
        return known.get(asked) or response(json.dumps({"error": f"nobody recorded {asked}"}), 400)

    async with serving(respond) as server:
        yield server.url


def _write(file: Path, story: dict[str, Any]) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(story, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _exchanges(file: Path) -> list[dict[str, Any]]:
    exchanges: list[dict[str, Any]] = json.loads(file.read_text("utf-8"))["exchanges"]
    return exchanges
