"""How long `/health` waits while costly bodies come in, and whether the server gives its memory back.

    python benchmarks/hostile.py [--at-once 1]

Each body is at the limits of what is read. `tpo serve` runs in a process of its own in front of a pretended GPU.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

import aiohttp
import numpy as np

import gpu_server
import serve

MOST = 10 * 2**20 - 4096


def bodies() -> dict[str, bytes]:
    """The bodies by what is costly about them."""

    def chat(content: object = "hi", **more: object) -> bytes:
        body = {"model": "fake-gpu:best-of-2", "messages": [{"role": "user", "content": content}], **more}
        return json.dumps(body).encode()

    def many(characters: int) -> bytes:
        message = {"role": "user", "content": "x" * characters}
        return json.dumps({"model": "fake-gpu:tpo", "messages": [message] * 4096}).encode()

    part = {"type": "text", "text": "x"}
    return {
        "one long text": chat("x" * MOST),
        "escapes": chat()[:-1] + b',"user":"' + b"\\u00e9" * 999_000 + b'"}',
        "numbers": chat(stop=[1] * 49_000),
        "numbers with fractions": chat(stop=[0.1234567890123456] * 49_000),
        "small objects": chat([part] * 24_000),
        "messages refused": many(2500),
        "messages": many(930),
        "keys": chat(response_format={f"key{number}": number for number in range(49_000)}),
        "tools": chat(
            tools=[{"type": "function", "function": {"name": f"f{n}", "parameters": {}}} for n in range(1024)]
        ),
        "deep": chat([json.loads("[" * 60 + "]" * 60)] * 400),
        "deep parts": chat([{"type": "x", "x": json.loads("[" * 58 + "]" * 58)}] * 400),
        "quotes": b'{"model":"' + b'\\"' * 999_000 + b'"}',
        "one image": chat([{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "x" * 8_000_000}}]),
    }


async def attack(root: str, pid: int, at_once: int) -> None:
    """Send each body, and request `/health` meanwhile."""
    print("| body | status | `/health` p50 ms | p99 ms | longest ms | MB afterwards |")
    print("| --- | --- | --- | --- | --- | --- |")
    async with aiohttp.ClientSession() as session:
        for name, body in bodies().items():
            waits: list[float] = []
            over = asyncio.Event()

            async def health(waits: list[float] = waits, over: asyncio.Event = over) -> None:
                while not over.is_set():
                    began = time.perf_counter()
                    async with session.get(f"{root}/health") as response:
                        await response.read()
                    waits.append((time.perf_counter() - began) * 1000)
                    await asyncio.sleep(0.005)

            async def send(body: bytes = body) -> int:
                headers = {"content-type": "application/json"}
                async with session.post(f"{root}/v1/chat/completions", data=body, headers=headers) as response:
                    await response.read()
                    return response.status

            asking = asyncio.create_task(health())
            statuses = await asyncio.gather(*[send() for _ in range(at_once)])
            over.set()
            await asking
            await asyncio.sleep(2.0)  # in which memory is given back
            half, most = np.percentile(waits, [50, 99])
            megabytes = serve.use_of(pid).megabytes
            shown = ", ".join(str(status) for status in sorted({*statuses}))
            print(f"| {name} | {shown} | {half:.1f} | {most:.1f} | {max(waits):.1f} | {megabytes:.0f} |", flush=True)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at-once", type=int, default=1)
    options = parser.parse_args()
    settings = argparse.Namespace(clients=64, width=2, depth=0)
    pids: list[int] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        gpu_server.running(slots=4096, queue=4096, base=0.001) as upstream,
        serve.serving(upstream, Path(folder), settings, pids.append) as url,
    ):
        before = serve.use_of(pids[0]).megabytes
        asyncio.run(attack(url.removesuffix("/v1"), pids[0], options.at_once))
        after = serve.use_of(pids[0]).megabytes
    print(f"\n{before:.0f} MB at the start, {after:.0f} MB at the end")


if __name__ == "__main__":
    main()
