"""What `tpo serve` costs: against the library on the same upstream, and against the upstream alone.

    python benchmarks/serve.py [--clients 500] [--queries 1500] [--pace 4] [--width 3] [--depth 1]
    python benchmarks/serve.py --rate 100 300 600 [--seconds 60]

The upstream is `gpu_server.py`: real HTTP, a pretended GPU, in a process of its own. Each question holds a token that
its answer has to begin with, so that an answer which went to the wrong client shows.

- aligned: so many clients at once, each sending one question after the other, streamed or not; against the library's
  driver with as many searches at once, in a process of its own.
- passed through: the same clients, each with a pause between its requests, using the plain model through the server
  and the upstream itself, in turns. What counts is what the server adds to the latency.
- at a fixed rate: so many plain requests a second, sent when they are due whether or not others are answered, directly,
  through a bare relay (`bare_relay.py`) and through the server, in turns; a latency counts from when its request was
  due. The upstream is `delay_server.py`, which takes 50 ms for each answer. Processor time for a request, and memory,
  are the relay's and the server's.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import numpy as np

import bare_relay
import delay_server
import gpu_server

ECHO = r"query-\d{6}"
# Seconds that an answer takes at a fixed rate.
DELAY = 0.05
REWARD = """
async def length(conversations):
    return [float(len(messages[-1]["content"])) for messages in conversations]
"""
BEGUN = re.compile(r"serving at (\S+)/v1")


class Load(NamedTuple):
    """The results of one load.

    Attributes:
        seconds: from the first request to the last answer.
        latencies: seconds of each request.
        wrong: answers that were not to their question.
        failed: requests without an answer.
    """

    seconds: float
    latencies: list[float]
    wrong: int
    failed: int

    def percentile(self, share: float) -> float:
        """Milliseconds that so many per cent of the requests take at most."""
        return float(np.percentile(self.latencies, share)) * 1000


def question(number: int) -> str:
    """A question with its token."""
    return f"This is query-{number:06d}: " + "what makes a good table? " * 8


async def answer_to(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> str | None:
    """The answer to one request; None where it failed."""
    try:
        async with session.post(f"{url}/chat/completions", json=body) as response:
            content = await response.read()
            return answer_in(content, bool(body.get("stream"))) if response.status == 200 else None
    except aiohttp.ClientError:
        return None


async def ask_all(url: str, model: str, numbers: Sequence[int], clients: int, *, stream: bool, pause: float) -> Load:
    """Send so many questions with so many clients.

    Args:
        url: the API's address.
        model: the model's name.
        numbers: the questions' numbers.
        clients: how many send at once.
        stream: whether they want streams.
        pause: mean seconds that a client waits before each question.
    """
    left = iter(numbers)
    latencies: list[float] = []
    wrong = failed = 0
    dice = random.Random(1)

    async def client(session: aiohttp.ClientSession) -> None:
        nonlocal wrong, failed
        for number in left:
            if pause:
                await asyncio.sleep(dice.expovariate(1 / pause))
            body = {"model": model, "messages": [{"role": "user", "content": question(number)}], "stream": stream}
            began = time.perf_counter()
            answer = await answer_to(session, url, body)
            latencies.append(time.perf_counter() - began)
            failed += answer is None
            wrong += answer is not None and not answer.startswith(f"query-{number:06d}")

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        began = time.perf_counter()
        await asyncio.gather(*[client(session) for _ in range(clients)])
        return Load(time.perf_counter() - began, latencies, wrong, failed)


async def ask_at_rate(url: str, model: str, rate: float, seconds: float) -> Load:
    """Send so many plain requests a second, each when it is due.

    Args:
        url: the API's address.
        model: the model's name.
        rate: requests a second.
        seconds: for how long.
    """
    latencies: list[float] = []
    wrong = failed = 0
    loop = asyncio.get_running_loop()

    async def one(session: aiohttp.ClientSession, number: int, due: float) -> None:
        nonlocal wrong, failed
        body = {"model": model, "messages": [{"role": "user", "content": question(number)}]}
        answer = await answer_to(session, url, body)
        latencies.append(loop.time() - due)
        failed += answer is None
        wrong += answer is not None and not answer.startswith(f"query-{number:06d}")

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:
        began = loop.time()
        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * seconds)):
                due = began + number / rate
                await asyncio.sleep(max(due - loop.time(), 0.0))
                group.create_task(one(session, number, due))
        return Load(loop.time() - began, latencies, wrong, failed)


class Use(NamedTuple):
    """What a process has used.

    Attributes:
        cpu: seconds of processor time.
        megabytes: resident memory.
    """

    cpu: float
    megabytes: float


def use_of(pid: int) -> Use:
    """What a process has used so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    # The clock of another process (clock_getcpuclockid). The ticks in /proc are samples, and a fixed rate may fall
    # between them.
    cpu = time.clock_gettime((~pid << 3) | 2)
    return Use(cpu, int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 2**20)


def answer_in(content: bytes, stream: bool) -> str | None:
    """The text of an answer; None where there is none."""
    if not stream:
        return str(json.loads(content)["choices"][0]["message"]["content"])
    texts = []
    for line in content.split(b"\n\n"):
        if line.startswith(b"data: {"):
            chunk = json.loads(line[6:])
            if "error" in chunk:
                return None
            texts += [choice["delta"].get("content") or "" for choice in chunk["choices"]]
    return "".join(texts)


@contextlib.contextmanager
def serving(
    upstream: str,
    folder: Path,
    options: argparse.Namespace,
    on_start: Callable[[int], None] = lambda pid: None,
    flags: Sequence[str] = (),
) -> Iterator[str]:
    """`tpo serve` in a process of its own, whose id `on_start` is called with; yields its URL. Later flags count."""
    (folder / "reward.py").write_text(REWARD)
    command = [sys.executable, "-m", "tpo", "serve", "--policy", upstream, "--port", "0"]
    command += ["--reward", "python:reward:length", "--no-check", "--no-ui", "--queue", str(options.clients)]
    command += ["--requests", str(options.clients), "--width", str(options.width), "--depth", str(options.depth)]
    command += flags
    paths = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": paths, "NO_COLOR": "1"}
    log = folder / "log"
    with log.open("wb") as out, subprocess.Popen(command, stderr=out, env=environment) as process:
        try:
            while not (found := BEGUN.search(log.read_text())):
                if process.poll() is not None:
                    raise SystemExit(f"tpo serve ended: {log.read_text()}")
                time.sleep(0.05)
            wait_until_ready(found[1])
            on_start(process.pid)
            yield f"{found[1]}/v1"
        finally:
            process.terminate()
            process.wait()


def wait_until_ready(root: str) -> None:
    """Wait until the server has reached its models."""

    async def wait() -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                async with session.get(f"{root}/ready") as response:
                    if response.status == 200:
                        return
                await asyncio.sleep(0.05)

    asyncio.run(wait())


async def library(url: str, numbers: Sequence[int], options: argparse.Namespace) -> Load:
    """The same searches by one session of the library, as many at once."""
    from tpo.engine.journal import Journal
    from tpo.messages import conversation
    from tpo.session.session import Session
    from tpo.session.spec import plan_of

    async def length(conversations: Sequence[Sequence[dict[str, str]]]) -> list[float]:
        return [float(len(messages[-1]["content"])) for messages in conversations]

    left = iter(numbers)
    latencies: list[float] = []
    wrong = 0
    async with Session(policy=url, reward=length, check=False, width=options.width, depth=options.depth) as session:
        models, reward, spec = await session.models(), await session.reward(), session.spec
        names = {role: fleet.name for role, fleet in models.items()}

        async def searches() -> None:
            nonlocal wrong
            for number in left:
                began = time.perf_counter()
                plan = plan_of(spec, conversation(question(number)), names, reward)
                result = await session.search(plan, spec, models, reward, Journal(), stream=options.library_streams)
                latencies.append(time.perf_counter() - began)
                wrong += not result.answer.startswith(f"query-{number:06d}")

        began = time.perf_counter()
        await asyncio.gather(*[searches() for _ in range(options.clients)])
        return Load(time.perf_counter() - began, latencies, wrong, 0)


def library_in_a_process(url: str, options: argparse.Namespace) -> Load:
    """`library`, where nothing else uses the interpreter."""
    command = [sys.executable, __file__, "--library", url, "--clients", str(options.clients)]
    command += ["--queries", str(options.queries), "--width", str(options.width), "--depth", str(options.depth)]
    command += ["--library-streams"] if options.library_streams else []
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Load(*json.loads(printed))


def main() -> None:
    """Measure, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--queries", type=int, default=1500)
    parser.add_argument("--turns", type=int, default=3, help="of the aligned requests")
    parser.add_argument("--pace", type=float, default=4.0, help="the pretended GPU is so many times slower")
    parser.add_argument("--width", type=int, default=3)
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--pause", type=float, default=2.0, help="mean seconds between a client's plain requests")
    parser.add_argument("--library-streams", action="store_true", help="the library streams its calls, as serve does")
    parser.add_argument("--only", choices=["aligned", "passed"])
    parser.add_argument("--rate", type=float, nargs="+", help="plain requests a second, one table row for each")
    parser.add_argument("--seconds", type=float, default=60.0, help="for which each rate is kept")
    parser.add_argument("--library", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    numbers = range(options.queries)
    if options.library:
        print(json.dumps(asyncio.run(library(options.library, numbers, options))))
        return
    with tempfile.TemporaryDirectory() as folder:
        if options.rate:
            at_rates(Path(folder), options)
            return
        if options.only != "passed":
            aligned(Path(folder), options)
        if options.only != "aligned":
            passed(Path(folder), options)


def aligned(folder: Path, options: argparse.Namespace) -> None:
    """Aligned requests against the library's driver, in turns; medians, and of the ratios of each turn."""
    loads: dict[str, list[Load]] = {"library": [], "served": [], "served, streamed": []}
    for _ in range(options.turns):
        for name, turns in loads.items():
            with gpu_server.running(pace=options.pace, queue=4096, echo=ECHO) as upstream:
                if name == "library":
                    turns.append(library_in_a_process(upstream, options))
                    continue
                with serving(upstream, folder, options) as url:
                    numbers, stream = range(options.queries), name != "served"
                    requesting = ask_all(url, "fake-gpu:tpo", numbers, options.clients, stream=stream, pause=0.0)
                    turns.append(asyncio.run(requesting))
    print(f"{options.clients} clients, {options.queries} queries, {options.turns} turns\n")
    print("| aligned | queries/s | against the library | turn by turn | wrong | failed |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, turns in loads.items():
        shares = [ours.seconds / load.seconds for ours, load in zip(loads["library"], turns, strict=True)]
        rate = options.queries / np.median([load.seconds for load in turns])
        each = ", ".join(f"{share:.1%}" for share in shares)
        wrong, failed = sum(load.wrong for load in turns), sum(load.failed for load in turns)
        print(f"| {name} | {rate:.1f} | {np.median(shares):.1%} | {each} | {wrong} | {failed} |", flush=True)


def passed(folder: Path, options: argparse.Namespace) -> None:
    """Plain requests through the server and directly, in turns."""
    print("\n| passed through | p50 ms | p99 ms | wrong | failed |")
    print("| --- | --- | --- | --- | --- |")
    # Half a second for each answer, however many are written: what differs is what stands in between.
    gpu = {"slots": 4096, "queue": 4096, "base": 0.004, "per_sequence": 0.0, "prefill_rate": 1e9}
    loads: dict[str, list[Load]] = {"directly": [], "through tpo": []}
    with gpu_server.running(**gpu, echo=ECHO) as upstream, serving(upstream, folder, options) as url:
        for turn in range(3):
            for name, where in (("directly", upstream), ("through tpo", url)):
                numbers = range(turn * options.queries, (turn + 1) * options.queries)
                requesting = ask_all(where, "fake-gpu", numbers, options.clients, stream=False, pause=options.pause)
                loads[name].append(asyncio.run(requesting))
    quantiles = {}
    for name, turns in loads.items():
        quantiles[name] = [float(np.median([turn.percentile(share) for turn in turns])) for share in (50, 99)]
        half, most = quantiles[name]
        wrong, failed = sum(turn.wrong for turn in turns), sum(turn.failed for turn in turns)
        print(f"| {name} | {half:.1f} | {most:.1f} | {wrong} | {failed} |")
    added = np.subtract(quantiles["through tpo"], quantiles["directly"])
    print(f"| added | {added[0]:.1f} | {added[1]:.1f} | | |")


def at_rates(folder: Path, options: argparse.Namespace) -> None:
    """What the server adds to plain requests at fixed rates."""
    print(f"{options.seconds:g} s at each rate\n")
    print("| requests/s | | p50 ms | p95 ms | p99 ms | CPU ms a request | MB | wrong | failed |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for rate in options.rate:
        pids: list[int] = []
        with (
            delay_server.running(DELAY) as upstream,
            bare_relay.running(upstream, pids.append) as relay,
            serving(upstream, folder, options, pids.append) as url,
        ):
            directly = None
            for name, where, pid in (
                ("directly", upstream, None),
                ("bare relay", relay, pids[0]),
                ("through tpo", url, pids[1]),
            ):
                asyncio.run(ask_at_rate(where, "fake-gpu", rate, min(options.seconds, 5.0)))  # opens connections
                before = use_of(pid) if pid is not None else None
                load = asyncio.run(ask_at_rate(where, "fake-gpu", rate, options.seconds))
                cells = [f"{load.percentile(share):.1f}" for share in (50, 95, 99)]
                if pid is not None and before is not None:
                    used = use_of(pid)
                    cells += [f"{1000 * (used.cpu - before.cpu) / len(load.latencies):.2f}", f"{used.megabytes:.0f}"]
                else:
                    cells += ["", ""]
                print(f"| {rate:g} | {name} | {' | '.join(cells)} | {load.wrong} | {load.failed} |", flush=True)
                directly = directly or load
                if load is not directly:
                    added = [f"{load.percentile(share) - directly.percentile(share):.1f}" for share in (50, 95, 99)]
                    print(f"| {rate:g} | {name} adds | {' | '.join(added)} | | | | |", flush=True)


if __name__ == "__main__":
    main()
