"""Whether `tpo run` keeps a server full: against a plain load generator that sends the same calls to the same server.

    python benchmarks/scheduler.py [--queries 2000] [--slots 64]
    python benchmarks/scheduler.py --blip

The server is `gpu_server.py`: real HTTP, a pretended GPU. Ours runs as a process of its own, from its start to its end.
Then the load generator sends the very calls that ours made, with nothing to wait for but a free connection, at three
numbers of connections, and the best counts: that is what the server can give. The share is its time over ours.

Scenarios: answers of one length; heavy-tailed lengths; and those with 1 % of the calls failing. With --blip instead:
how soon the throughput is back after a moment of refusals, errors or slowness (`blips.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec

import blips
import gpu_server
import load_generator

SCENARIOS: dict[str, dict[str, Any]] = {
    "one length": {},
    "heavy tails": {"spread": 0.8},
    "heavy tails, 1 % failing": {"spread": 0.8, "error_share": 0.01},
}
REWARD = """
async def length(conversations):
    return [float(len(messages[-1]["content"])) for messages in conversations]
"""


class Ours(NamedTuple):
    """One `tpo run`.

    Attributes:
        seconds: from the first call to the last answer, as the run's own clock has it.
        processor: processor seconds of the process, its start included.
        calls: calls to models.
        summary: what it printed.
    """

    seconds: float
    processor: float
    calls: int
    summary: dict[str, Any]


def main() -> None:
    """Run the scenarios and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--concurrency", type=int, help="a fixed number instead of the adaptive one")
    parser.add_argument("--scenario", choices=SCENARIOS, action="append")
    parser.add_argument("--blip", action="store_true", help="how soon the throughput is back after trouble")
    options = parser.parse_args()
    if options.blip:
        blips.table(options)
        return
    print("| scenario | ours, calls/s | server's best | share | CPU ms/call | live mean | 429s | failed queries |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in options.scenario or SCENARIOS:
        with tempfile.TemporaryDirectory() as folder:
            print(_row(name, Path(folder), options), flush=True)


def _row(name: str, folder: Path, options: argparse.Namespace) -> str:
    flags = SCENARIOS[name]
    with gpu_server.running(slots=options.slots, keep=True, **flags) as url:
        ours = run_ours(url, folder, options.queries, options.concurrency)
        stats = httpx.get(load_generator.beside(url, "stats")).json()
        asked = httpx.get(load_generator.beside(url, "asked"), timeout=600).json()
    bodies = [msgspec.json.encode(body) for body in asked]
    # Failures are ours to bear: what the server can give is measured without them.
    with gpu_server.running(slots=options.slots, **{k: v for k, v in flags.items() if k != "error_share"}) as url:
        best = load_generator.ceiling(url, bodies, options.slots)[0]
    rate = stats["answered"] / ours.seconds
    return (
        f"| {name} | {rate:.0f} | {best.rate:.0f} | {rate / best.rate:.1%} | {1000 * ours.processor / ours.calls:.2f} "
        f"| {stats['live_seconds'] / ours.seconds:.1f} | {stats['refused']} | {ours.summary['failed']} |"
    )


def run_ours(url: str, folder: Path, queries: int, concurrency: int | None = None) -> Ours:
    """Run `tpo run` at D=2, N=5 on so many queries."""
    (folder / "reward.py").write_text(REWARD)
    data = folder / "queries.jsonl"
    with data.open("w") as file:
        for number in range(queries):
            file.write(json.dumps({"prompt": f"Question {number}: " + "what makes a good table? " * 8}) + "\n")
    command = [sys.executable, "-m", "tpo", "run", str(data), "--out", str(folder / "run"), "--policy", url]
    command += ["--reward", "python:reward:length", "--no-check", "--seed", "1", "--json"]
    command += ["--concurrency", str(concurrency)] if concurrency else []
    began = time.monotonic()
    paths = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    with (folder / "out.json").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, env={**os.environ, "PYTHONPATH": paths})
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 3):
        raise SystemExit(f"tpo run ended with {process.returncode} after {time.monotonic() - began:.0f} s")
    summary = json.loads((folder / "out.json").read_bytes())
    calls = summary["calls"] - summary["usage"]["reward"]["calls"]
    return Ours(summary["seconds"], used.ru_utime + used.ru_stime, calls, summary)


if __name__ == "__main__":
    main()
