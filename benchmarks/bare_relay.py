"""The least that a gateway in Python does: uvicorn and aiohttp pass a request on and its answer back, and nothing else.

    python benchmarks/bare_relay.py UPSTREAM

No key, no limit, no count, no log, no stream, no client that leaves: what `tpo serve` costs above this is its own.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn


class Relay:
    """Passes requests on.

    Args:
        upstream: the API's address, which ends in /v1.
    """

    def __init__(self, upstream: str) -> None:
        self._root = upstream.removesuffix("/v1")
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle a request (ASGI)."""
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self._session = self._session or aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        headers = {"content-type": "application/json"}
        async with self._session.request(
            scope["method"], self._root + scope["path"], data=body, headers=headers
        ) as response:
            content = await response.read()
            length = (b"content-length", str(len(content)).encode())
            head = [(b"content-type", b"application/json"), length]
            await send({"type": "http.response.start", "status": response.status, "headers": head})
        await send({"type": "http.response.body", "body": content})


@contextlib.contextmanager
def running(upstream: str, on_start: Callable[[int], None] = lambda pid: None) -> Iterator[str]:
    """The relay in a process of its own, whose id `on_start` is called with; yields its URL, which ends in /v1."""
    command = [sys.executable, str(Path(__file__).resolve()), upstream]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            on_start(process.pid)
            yield url
        finally:
            process.terminate()


def main() -> None:
    """Serve until interrupted, and print the URL first."""
    config = uvicorn.Config(Relay(sys.argv[1]), port=0, lifespan="off", access_log=False, log_level="error")
    bound = config.bind_socket()
    print(f"http://127.0.0.1:{bound.getsockname()[1]}/v1", flush=True)
    uvicorn.Server(config).run([bound])


if __name__ == "__main__":
    main()
