"""What opening costs: short `align_sync` calls one after another, against the same calls through one session.

    python benchmarks/session.py [--calls 100]

A server in a process of its own answers at once. Its time is measured by bare requests over one connection, and taken
off. Printed are milliseconds per call beyond it, and how many connections, model lists and TLS contexts were needed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import ssl
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import aiohttp
from aiohttp import web

import tpo

MODEL = "fast"
TEXT = "It is so."


def serve(pipe: Connection) -> None:
    """Answer chat completions at once, streamed or whole, and count."""
    counts = {"connections": 0, "models": 0, "completions": 0}
    seen: set[Any] = set()

    def counted(request: web.Request, what: str | None = None) -> None:
        peer = request.get_extra_info("peername")
        if peer not in seen:
            seen.add(peer)
            counts["connections"] += 1
        if what is not None:
            counts[what] += 1

    async def models(request: web.Request) -> web.Response:
        counted(request, "models")
        return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "x"}]})

    async def chat(request: web.Request) -> web.StreamResponse:
        counted(request, "completions")
        usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
        if not (await request.json()).get("stream"):
            message = {"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}
            return web.json_response({"choices": [message], "usage": usage})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        delta = {"index": 0, "delta": {"content": TEXT}, "finish_reason": "stop"}
        for chunk in ({"choices": [delta]}, {"choices": [], "usage": usage}):
            await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    async def reset(request: web.Request) -> web.Response:
        found = dict(counts)
        seen.clear()
        counts.update(dict.fromkeys(counts, 0))
        return web.json_response(found)

    async def run() -> None:
        app = web.Application()
        app.add_routes(
            [web.get("/v1/models", models), web.post("/v1/chat/completions", chat), web.post("/reset", reset)]
        )
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        pipe.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(run())


@contextmanager
def server() -> Iterator[str]:
    """The server's root, while it runs."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


async def bare(root: str, calls: int) -> list[float]:
    """Seconds of each of so many requests over one connection."""
    seconds = []
    async with aiohttp.ClientSession() as client:
        for _ in range(calls):
            began = time.perf_counter()
            body = {"model": MODEL, "messages": [{"role": "user", "content": "Is it so?"}], "stream": True}
            async with client.post(f"{root}/v1/chat/completions", json=body) as response:
                await response.read()
            seconds.append(time.perf_counter() - began)
    return seconds


async def counts(root: str) -> dict[str, int]:
    """What the server counted since the last time."""
    async with aiohttp.ClientSession() as client, client.post(f"{root}/reset") as response:
        found: dict[str, int] = await response.json()
        return found


def timed(call: Callable[[], Any], calls: int) -> list[float]:
    """Seconds of each call."""
    seconds = []
    for _ in range(calls):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return seconds


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100)
    calls: int = parser.parse_args().calls
    contexts = 0
    make = ssl.SSLContext.__new__

    def counting(cls: type, *given: Any, **named: Any) -> Any:
        nonlocal contexts
        contexts += 1
        return make(cls, *given, **named)

    ssl.SSLContext.__new__ = counting  # type: ignore[method-assign]
    with server() as root:
        asyncio.run(bare(root, 10))
        alone = statistics.median(asyncio.run(bare(root, calls)))
        options: dict[str, Any] = {"policy": f"{root}/v1", "method": "sample", "max_tokens": 16}
        tpo.align_sync("Is it so?", **options)  # imports
        print(f"{calls} calls; a bare request takes {1e3 * alone:.1f} ms")
        print(f"{'':<14} {'ms a call beyond it':>20} {'connections':>12} {'/models':>8} {'TLS contexts':>13}")
        for name in ("align_sync", "SyncSession"):
            asyncio.run(counts(root))
            contexts = 0
            if name == "align_sync":
                seconds = timed(lambda: tpo.align_sync("Is it so?", **options), calls)
            else:
                with tpo.SyncSession(**options) as session:
                    seconds = timed(lambda: session.align("Is it so?"), calls)
            found_contexts = contexts
            found = asyncio.run(counts(root))
            beyond = 1e3 * (statistics.median(seconds) - alone)
            print(f"{name:<14} {beyond:>20.1f} {found['connections']:>12} {found['models']:>8} {found_contexts:>13}")


if __name__ == "__main__":
    main()
