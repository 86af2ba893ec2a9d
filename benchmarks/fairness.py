"""How long one key's requests take alone, and beside a greedy key that always has many under way.

    python benchmarks/fairness.py [--greedy 60] [--requests 8] [--queries 30] [--width 3] [--depth 1] [--pace 4]

The modest key sends one aligned request after the other; the server works on `--requests` at once, and the queue has
room for all of the greedy key's. The upstream is `gpu_server.py`, which has room for more than the server sends.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import aiohttp
import numpy as np

import gpu_server
import serve
from tpo.server.keyfile import make_key
from tpo.server.limits import Limits


async def seconds_of(session: aiohttp.ClientSession, url: str, key: str, number: int) -> float:
    """Send one aligned request, and return how long it took."""
    body = {"model": "fake-gpu:tpo", "messages": [{"role": "user", "content": serve.question(number)}]}
    began = time.perf_counter()
    headers = {"Authorization": f"Bearer {key}"}
    async with session.post(f"{url}/chat/completions", json=body, headers=headers) as response:
        content = await response.read()
        if response.status != 200:
            raise SystemExit(f"a request failed: {response.status} {content[:200]!r}")
    return time.perf_counter() - began


async def measure(url: str, modest: str, greedy: str, options: argparse.Namespace) -> None:
    """Measure the modest key alone and beside the greedy one, in turns, and print a table."""
    print("| | median s | p95 s | longest s |")
    print("| --- | --- | --- | --- |")
    medians: dict[str, list[float]] = {"alone": [], "beside the greedy key": []}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:

        async def grab(number: int) -> None:
            while True:
                await seconds_of(session, url, greedy, number)

        for turn in range(2):
            for name, crowd in (("alone", 0), ("beside the greedy key", options.greedy)):
                grabbing = [asyncio.create_task(grab(1000 + number)) for number in range(crowd)]
                await asyncio.sleep(2.0 if crowd else 0.0)  # in which the queue fills
                waits = [await seconds_of(session, url, modest, number) for number in range(options.queries)]
                for task in grabbing:
                    task.cancel()
                await asyncio.gather(*grabbing, return_exceptions=True)
                half, most = np.percentile(waits, [50, 95])
                medians[name].append(float(half))
                print(f"| {name}, turn {turn + 1} | {half:.2f} | {most:.2f} | {max(waits):.2f} |", flush=True)
    alone, beside = (float(np.median(found)) for found in medians.values())
    print(f"\nbeside the greedy key, the median is {beside / alone:.2f} times that alone")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--greedy", type=int, default=60)
    parser.add_argument("--requests", type=int, default=8)
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--width", type=int, default=3)
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--pace", type=float, default=4.0, help="the pretended GPU is so many times slower")
    options = parser.parse_args()
    options.clients = options.greedy + 1
    with (
        tempfile.TemporaryDirectory() as folder,
        gpu_server.running(slots=256, queue=4096, pace=options.pace) as upstream,
    ):
        keys = Path(folder) / "keys.toml"
        modest, greedy = (make_key(keys, name, Limits()) for name in ("modest", "greedy"))
        flags = ["--keys", str(keys), "--requests", str(options.requests)]
        with serve.serving(upstream, Path(folder), options, flags=flags) as url:
            asyncio.run(measure(url, modest, greedy, options))


if __name__ == "__main__":
    main()
