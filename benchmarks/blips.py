"""How soon the throughput is back after a server's trouble, for `tpo run` and `tpo serve`: `scheduler.py --blip`.

A server (`gpu_server.py`) is kept full; then it answers 429 or 500, or takes five times as long, for a few seconds. Its
own count of answered calls, read ten times a second, shows the throughput. Recovered is the time from the end of the
trouble to the begin of the first second in which at least 90 % of the former throughput is served.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

import gpu_server
import load_generator
import serve

TICK = 0.1
STEADY = 15.0  # seconds before the first trouble, in which the client finds the server's limit
BEFORE = 5.0  # seconds over which the former throughput is measured
AFTER = 20.0  # seconds that are watched after each trouble
SHARE = 0.9
BLIPS: dict[str, dict[str, Any]] = {
    "429 for 1 s": {"status": 429, "seconds": 1.0},
    "429 for 5 s": {"status": 429, "seconds": 5.0},
    "500 for 2 s": {"status": 500, "seconds": 2.0},
    "latency x5 for 5 s": {"slower": 5.0, "seconds": 5.0},
}


class Blip(NamedTuple):
    """What a trouble did.

    Attributes:
        before: calls answered a second before it.
        recovered: seconds from its end until the throughput was back; None if it was not within `AFTER`.
        after: calls answered a second over the 5 s that begin 5 s after its end.
        refused: calls that were answered 429.
    """

    before: float
    recovered: float | None
    after: float
    refused: int


def table(options: argparse.Namespace) -> None:
    """Run all troubles against `tpo run` and `tpo serve`, and print a table."""
    print("| client | trouble | calls/s before | back at 90 % after | calls/s, 5 to 10 s after | 429s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for client in (running, serving):
        for retry_after in (False, True):
            flags = {"slots": options.slots, "pace": 4.0, "queue": 4096, "retry_after": retry_after}
            with (
                tempfile.TemporaryDirectory() as folder,
                gpu_server.running(**flags) as url,
                client(url, Path(folder)),
            ):
                time.sleep(STEADY)
                for name, trouble in BLIPS.items():
                    if retry_after and trouble.get("status") != 429:
                        continue
                    blip = measure(url, trouble)
                    shown = name + (", Retry-After: 1" if retry_after else "")
                    back = "never" if blip.recovered is None else f"{blip.recovered:.1f} s"
                    rates = f"{blip.before:.0f} | {back} | {blip.after:.0f}"
                    print(f"| {client.__name__} | {shown} | {rates} | {blip.refused} |", flush=True)


def measure(url: str, trouble: dict[str, Any]) -> Blip:
    """Cause a trouble and watch the throughput."""
    with httpx.Client() as client:

        def stats() -> tuple[float, dict[str, Any]]:
            return time.monotonic(), client.get(load_generator.beside(url, "stats")).json()

        start, first = stats()
        time.sleep(BEFORE)
        now, last = stats()
        before = (last["answered"] - first["answered"]) / (now - start)
        client.post(load_generator.beside(url, "blip"), content=json.dumps(trouble)).raise_for_status()
        end = time.monotonic() + trouble["seconds"]
        seen: list[tuple[float, int]] = []
        books = last
        while time.monotonic() < end + AFTER:
            now, books = stats()
            seen.append((now - end, books["answered"]))
            time.sleep(TICK)
    recovered = next((at for at, _ in seen if at >= 0 and rate(seen, at, at + 1) >= SHARE * before), None)
    return Blip(before, recovered, rate(seen, 5, 10), books["refused"] - last["refused"])


def rate(seen: list[tuple[float, int]], begin: float, end: float) -> float:
    """Calls answered a second between two times."""
    inside = [(at, answered) for at, answered in seen if begin <= at <= end + TICK]
    if len(inside) < 2 or inside[-1][0] < end:
        return 0.0
    return (inside[-1][1] - inside[0][1]) / (inside[-1][0] - inside[0][0])


@contextmanager
def running(url: str, folder: Path) -> Iterator[None]:
    """`tpo run` on more queries than it can finish meanwhile."""
    (folder / "reward.py").write_text(serve.REWARD)
    data = folder / "queries.jsonl"
    data.write_text("".join(json.dumps({"prompt": serve.question(number)}) + "\n" for number in range(20_000)))
    command = [sys.executable, "-m", "tpo", "run", str(data), "--out", str(folder / "run"), "--policy", url]
    command += ["--reward", "python:reward:length", "--no-check", "--quiet"]
    paths = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths}) as process:
        try:
            yield
        finally:
            process.kill()


@contextmanager
def serving(url: str, folder: Path) -> Iterator[None]:
    """`tpo serve` with 100 clients that ask one question after the other."""
    options = argparse.Namespace(clients=100, width=5, depth=2)
    with serve.serving(url, folder, options) as ours:
        model = httpx.get(f"{ours}/models").json()["data"][0]["id"]

        def ask() -> None:
            with asyncio.Runner() as runner:
                runner.run(
                    serve.ask_all(ours, f"{model.partition(':')[0]}:tpo", range(10**9), 100, stream=False, pause=0)
                )

        threading.Thread(target=ask, daemon=True).start()
        yield
