"""How long one query takes by each method, against the schedule of the paper's code (`reference_schedule.py`).

    python benchmarks/single_query.py [--queries 5] [--spread 0.8]         # on a pretended GPU (gpu_server.py)
    python benchmarks/single_query.py --url http://127.0.0.1:8000/v1       # on any server

Each method draws as many answers as the paper's at D=2, N=5: fifteen. The reward has words and no largest value, and a
price of 0 keeps every method from ending early, so that the differences are those of stages alone: how many round trips
have to wait for the one before. All sides take turns, query by query, and no two queries share a prompt. Medians of
wall-clock time, and of its ratio to the reference's on the same query.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import time
from collections.abc import Mapping, Sequence
from statistics import median
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx

import gpu_server
import tpo
from reference_schedule import Reference
from tpo.methods import find_method
from tpo.methods.cost import cost_of
from tpo.rewards.protocol import Score

WIDTH, DEPTH = 5, 2
ANSWERS = WIDTH * (DEPTH + 1)


class Contender(NamedTuple):
    """A method that draws as many answers as the paper's."""

    method: str
    width: int
    depth: int = 0
    settings: Mapping[str, Any] = MappingProxyType({})


CONTENDERS = (
    Contender("best-of-n", ANSWERS),
    Contender("best-of-n", ANSWERS, settings={"wave": [2, 3, 5]}),
    Contender("best-of-n", ANSWERS, settings={"wave": [2, 5, 8]}),
    Contender("best-of-n", ANSWERS, settings={"wave": 2}),
    Contender("tpo", WIDTH, DEPTH),
    Contender("tpo-fused", WIDTH, DEPTH),
    Contender("tpo", WIDTH, DEPTH, {"contrast": "minimal"}),
    Contender("restate", WIDTH, DEPTH),
    Contender("restate", WIDTH, DEPTH, {"wave": [2, 3]}),
    Contender("words", WIDTH, DEPTH),
    Contender("fusion", ANSWERS - 1),
    Contender("fusion", ANSWERS - 2, settings={"merges": 2, "analysis": True}),
    Contender("rsa", WIDTH, DEPTH),
    Contender("segments", WIDTH, DEPTH),
    Contender("feedback-descent", WIDTH, ANSWERS - WIDTH),
    Contender("adaptive", WIDTH, DEPTH, {"price": 0.0}),
)


class Noted:
    """A reward with words, by chance, that no answer is perfect for."""

    name = "noted"

    async def score(self, conversations: Sequence[Any]) -> list[Score]:
        """A number below 1 for each."""
        values = [_value(messages[-1]["content"]) for messages in conversations]
        return [Score(value, {}, "kept 1 of 2 requirements; missing: names a cloth") for value in values]


def _value(text: str) -> float:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") / 2**32


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a server; a pretended GPU of this program's own unless given")
    parser.add_argument("--queries", type=int, default=5)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--spread", type=float, default=0.8, help="of the lengths of the pretended GPU's answers")
    parser.add_argument("--pace", type=float, default=4.0, help="the pretended GPU is so many times as slow")
    names = sorted({one.method for one in CONTENDERS})
    parser.add_argument("--methods", nargs="+", choices=names, default=names, metavar="NAME", help="those to measure")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        url = options.url or stack.enter_context(gpu_server.running(spread=options.spread, pace=options.pace))
        model = httpx.get(f"{url}/models", trust_env=False).json()["data"][0]["id"]
        asyncio.run(_compare(url, model, options))


async def _compare(url: str, model: str, options: argparse.Namespace) -> None:
    contenders = [one for one in CONTENDERS if one.method in options.methods]
    theirs: list[float] = []
    ours: dict[int, list[float]] = {place: [] for place in range(len(contenders))}
    answers: dict[int, int] = {}
    async with tpo.Session(policy=url, policy_model=model, reward=Noted(), max_tokens=options.max_tokens) as session:
        await session.align("Warm up.", method="sample")
        for number in range(options.queries):
            reference = Reference(url, model, lambda query, answer: _value(answer), WIDTH, DEPTH, options.max_tokens)
            began = time.perf_counter()
            await asyncio.to_thread(reference.run, [_query("reference", number)])
            theirs.append(time.perf_counter() - began)
            for place, one in enumerate(contenders):
                began = time.perf_counter()
                result = await session.align(
                    _query(f"{place}", number),
                    method=one.method,
                    width=one.width,
                    depth=one.depth,
                    settings=dict(one.settings),
                )
                ours[place].append(time.perf_counter() - began)
                answers[place] = len(result.candidates)
    print("| method | answers | other replies | stages | seconds | of the reference |")
    print("| --- | --- | --- | --- | --- | --- |")
    print(f"| the paper's schedule | {ANSWERS} | {2 * DEPTH} | {1 + 3 * DEPTH} | {median(theirs):.2f} | 1 |")
    for place, one in enumerate(contenders):
        cost = cost_of(find_method(one.method), one.width, one.depth, one.settings)
        ratio = median(mine / other for mine, other in zip(ours[place], theirs, strict=True))
        settings = " ".join(f"{name}={value}" for name, value in one.settings.items())
        print(
            f"| `{one.method}` {settings} | {answers[place]} | {cost.replies} | {cost.stages} "
            f"| {median(ours[place]):.2f} | {ratio:.2f} |"
        )


def _query(side: str, number: int) -> str:
    # The mark comes first, so that no side finds the prompts of another in the cache.
    return f"[{side}.{number}] How do I take care of a wooden table?"


if __name__ == "__main__":
    main()
