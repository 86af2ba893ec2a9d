"""Whether the memory of `tpo run` stays flat, and how soon it answers: runs of 1,000, 10,000 and 100,000 queries.

    python benchmarks/memory.py [--sizes 1000 10000 100000]

Each run is a process of its own, with a model that answers at once inside it, so that nothing but tpo is measured. The
peak is the process's whole resident memory, libraries included. The first call is counted from the
start of the run, the look at every row before it included.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tpo.messages import Conversation, text_of
from tpo.models.profiles import GENERIC, Profile
from tpo.models.protocol import Choice, Receiver, Request
from tpo.options import RunOptions
from tpo.runs.dataset import Watcher, run_spec
from tpo.session.spec import specified

WORDS = "what a good answer to this question has to say about the matter, and how "


class Instant:
    """A model that answers at once, each time something else."""

    name = "instant"
    profile: Profile = GENERIC

    def __init__(self, began: float) -> None:
        self._began = began
        self.first: float | None = None
        self._calls = 0

    async def generate(self, request: Request, receiver: Receiver) -> None:
        """See `tpo.models.protocol.Model`."""
        if self.first is None:
            self.first = time.monotonic() - self._began
        await asyncio.sleep(0)
        self._calls += 1
        receiver.usage.completion_tokens = receiver.usage.prompt_tokens = 100
        receiver.on_choice(Choice(0, f"{self._calls}: {WORDS * 5}", tokens=100))

    async def aclose(self) -> None:
        """Nothing to close."""


class Length:
    """The longest answer is the best."""

    name = "length"

    async def score(self, conversations: Sequence[Conversation]) -> list[float]:
        """See `tpo.rewards.protocol.Reward`."""
        return [float(len(text_of(messages[-1]))) for messages in conversations]


def main() -> None:
    """Measure each size in a process of its own, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(_measured(options.one)))
        return
    print("| queries | peak MiB | first call after s | ms of processor time a call |")
    print("| --- | --- | --- | --- |")
    for size in options.sizes:
        command = [sys.executable, __file__, "--one", str(size)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"| {size} | {found['peak']:.0f} | {found['first']:.1f} | {found['call']:.2f} |", flush=True)


def _measured(size: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "queries.jsonl"
        with data.open("w") as file:
            for number in range(size):
                file.write(json.dumps({"prompt": f"Question {number}: {WORDS * 3}?"}) + "\n")
        model = Instant(time.monotonic())
        spec = specified({"policy": model, "reward": Length(), "check": False, "width": 1, "depth": 1})
        report = asyncio.run(run_spec(str(data), Path(folder) / "run", spec, RunOptions(concurrency=64), Watcher()))
    used = resource.getrusage(resource.RUSAGE_SELF)
    assert report.summary.done == size
    calls = report.summary.calls - report.summary.usage["reward"].calls
    call = 1000 * (used.ru_utime + used.ru_stime) / calls
    return {"peak": used.ru_maxrss / 1024, "first": model.first or 0.0, "call": call}


if __name__ == "__main__":
    main()
