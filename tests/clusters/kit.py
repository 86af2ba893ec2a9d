"""What the tests of runs on a Ray cluster share."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from clusters.pretended import gpu_engine, gpu_server
from tpo.options import RunOptions
from tpo.runs.dataset import Report, Watcher, run_spec
from tpo.runs.ray import Cluster
from tpo.session.spec import specified

QUESTIONS = 24
SETTINGS = gpu_engine.Settings(mean_tokens=64)
SERVER = {"mean_tokens": 64, "keep": True}
# What no two runs share: seconds, and what the server's cache happened to hold.
CHANCE = {"seconds", "waited", "cached_tokens"}


def dataset(folder: Path, count: int = QUESTIONS) -> str:
    """A file with questions."""
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps({"id": f"q{n}", "prompt": f"Question {n}: why?"}) + "\n" for n in range(count)))
    return str(path)


def answers(out: Path) -> list[dict[str, Any]]:
    """What a run answered, without what no two runs share, in the order of the data."""
    lines = [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]
    return sorted((_same(line) for line in lines), key=lambda line: str(line["row"]))


def journal(out: Path) -> list[dict[str, Any]]:
    """The lines of a run's journal."""
    path = out / "journal.jsonl"
    whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
    return [json.loads(line) for line in whole.splitlines()]


def results(lines: list[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    """How often each result stands in a journal, by its query and its place in the search."""
    found: Counter[tuple[Any, ...]] = Counter()
    for line in lines:
        record = line["record"]
        if record["record"] in ("sampled", "replied", "scored") and not record.get("error"):
            found[line["key"], record["record"], record["turn"], record["action"], record.get("index")] += 1
    return found


def asked(url: str) -> list[dict[str, Any]]:
    """The bodies of all requests that the server took."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/asked") as reply:
        bodies: list[dict[str, Any]] = json.load(reply)
    return bodies


def reply_to(body: dict[str, Any]) -> str:
    """What the server says to a request: it depends on nothing else."""
    chat = msgspec.convert(body, gpu_server.Chat)
    assert chat.seed is not None
    limit = chat.max_completion_tokens or chat.max_tokens
    return gpu_engine.answer(SETTINGS, chat.prompt(), chat.seed, limit)[0]


def replies(lines: Iterable[dict[str, Any]]) -> set[str]:
    """All that the server said according to a journal."""
    records = [line["record"] for line in lines if line["record"]["record"] in ("sampled", "replied")]
    return {record.get("reply") or record["text"] for record in records if not record.get("error")}


async def run(
    data: str, out: Path, options: dict[str, Any], address: str | None, watcher: Watcher | None = None, **how: Any
) -> Report:
    """Run a dataset, on a cluster if there is an address."""
    watcher = watcher or Watcher()
    if address is None:
        return await run_spec(data, out, specified(options), RunOptions(**how), watcher)  # type: ignore[arg-type]
    cluster = Cluster(address, options)
    return await run_spec(data, out, cluster.spec, RunOptions(**how), watcher, cluster)


def _same(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _same(inner) for key, inner in value.items() if key not in CHANCE}
    return value
