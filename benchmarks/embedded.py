"""How fast the embedded engine aligns an answer, and what its weights are worth.

    python benchmarks/embedded.py [--repeats 2] [--questions 2] [--max-tokens 128]
    python benchmarks/embedded.py --formats [--repeats 2] [--tokens 64]
    python benchmarks/embedded.py --quality DATA [--texts 12] [--positions 128]

The first runs the real `tpo.align` at D2-N5 with the same questions and seeds on the packaged weights, with one request
after another, and on what `embedded` runs. The second counts tokens a second for each format of the weights and
number of answers at once; the third has each format predict given texts. DATA holds AlpacaEval's prompts.jsonl and
gpt4_1106_preview.jsonl.gz.

Every measurement is a process of its own and no two run at once: two engines would slow each other down. Sides take
turns (ABAB…), and medians count. On a machine that does other work as well, trust the ratios alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import msgspec

import tpo
from embedded_quality import report, scored, texts
from tpo.models import embedded, weights
from tpo.models.dialect import Dialect
from tpo.models.openai import OpenAIModel
from tpo.models.protocol import Request
from tpo.models.requantize import Q4_0, Q8_0, requantize
from tpo.models.resolve import open_model

QUESTIONS = (
    "How do I take care of a wooden table?",
    "Explain to a child what a loan is.",
    "Why is the sky blue, and why is a sunset red?",
)
WARM_UP = "Say yes."


class PromptCache(OpenAIModel):
    """Has llama.cpp reuse what it can of any earlier prompt: its own default."""

    def _body(self, request: Request, dialect: Dialect) -> dict[str, Any]:
        return {**super()._body(request, dialect), "cache_prompt": True}


class NoCache(OpenAIModel):
    """Has llama.cpp compute each prompt from its beginning."""

    def _body(self, request: Request, dialect: Dialect) -> dict[str, Any]:
        return {**super()._body(request, dialect), "cache_prompt": False}


# Weights, whether a request asks for one answer at a time, and how prompts are reused.
BASE = "packaged weights, one request after another"
SIDES: dict[str, tuple[bool, bool, type[OpenAIModel]]] = {
    BASE: (True, True, NoCache),
    "the same, with llama.cpp's prompt cache": (True, True, PromptCache),
    "packaged weights, N answers in a request": (True, False, NoCache),
    "rewritten weights, N answers in a request": (False, False, NoCache),
    "`embedded`: the same, and a search's own prompts reused": (False, False, OpenAIModel),
}


def main() -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--questions", type=int, default=2, choices=range(1, len(QUESTIONS) + 1))
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--formats", action="store_true")
    parser.add_argument("--tokens", type=int, default=64, help="of an answer, for --formats")
    parser.add_argument("--quality", type=Path, metavar="DATA")
    parser.add_argument("--texts", type=int, default=12)
    parser.add_argument("--positions", type=int, default=128, help="tokens of each text that are predicted")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(asyncio.run(child(options))))
    elif options.quality:
        with tempfile.TemporaryDirectory() as folder:
            report({name: measured(["scores", str(path)]) for name, path in formats(Path(folder)).items()})
    elif options.formats:
        with tempfile.TemporaryDirectory() as folder:
            compare_formats(formats(Path(folder)), options.repeats)
    else:
        compare_sides(options.repeats, options.questions)


def measured(what: list[str]) -> Any:
    """Have a process of its own measure, with the options that this one has."""
    command = [sys.executable, __file__, *sys.argv[1:], "--child", *what]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


async def child(options: argparse.Namespace) -> Any:
    """What a process of its own measures."""
    kind, *rest = options.child
    if kind == "align":
        return await aligned(rest[0], QUESTIONS[int(rest[1])], options.max_tokens)
    server = embedded.start(rest[0])
    headers = {"Authorization": f"Bearer {server.api_key}"}
    root = server.url.removesuffix("/v1")
    with httpx.Client(base_url=root, headers=headers, timeout=600, trust_env=False) as http:
        if kind == "scores":
            return [scored(http, *text, options.positions) for text in texts(options.quality, options.texts)]
        return speeds(http, options.tokens)


# --- a whole search


def compare_sides(repeats: int, questions: int) -> None:
    """D2-N5 on each side, in turns."""
    weights.smollm2(lambda line: print(line, file=sys.stderr))
    seconds: dict[str, dict[int, list[float]]] = {side: defaultdict(list) for side in SIDES}
    tokens: dict[str, dict[int, int]] = {side: {} for side in SIDES}
    for repeat in range(repeats):
        for question in range(questions):
            for side in SIDES:
                took, wrote, prompt, cached = measured(["align", side, str(question)])
                seconds[side][question].append(took)
                tokens[side][question] = wrote
                note = f"{took:.1f} s, {wrote} tokens written, {prompt} of prompts, {cached} of them reused"
                print(f"{repeat + 1}/{repeats} question {question + 1}: {side}: {note}", file=sys.stderr, flush=True)
    print("| D2-N5 | seconds a query | tokens written | tokens/s | time, ratio | tokens/s, ratio |")
    print("| --- | --- | --- | --- | --- | --- |")
    base = base_rate = 0.0
    for side in SIDES:
        total = sum(median(times) for times in seconds[side].values())
        written = sum(tokens[side].values())
        rate = written / total
        if side == BASE:
            base, base_rate = total, rate
        each = f"{total / questions:.1f} | {written // questions} | {rate:.0f}"
        print(f"| {side} | {each} | {base / total:.2f} | {rate / base_rate:.2f} |")


async def aligned(side: str, question: str, max_tokens: int) -> tuple[float, int, int, int]:
    """Seconds of a search, and tokens written, of prompts, and of prompts reused."""
    async with opened(side) as model:
        await tpo.align(WARM_UP, method="sample", policy=model, max_tokens=8, check=False)
        began = time.perf_counter()
        result = await tpo.align(question, policy=model, max_tokens=max_tokens, seed=7, check=False)
        took = time.perf_counter() - began
    usage = result.usage.values()
    return (
        took,
        sum(role.completion_tokens for role in usage),
        sum(role.prompt_tokens for role in usage),
        sum(role.cached_tokens for role in usage),
    )


@asynccontextmanager
async def opened(side: str) -> AsyncIterator[OpenAIModel]:
    """The model of a side."""
    packaged, alone, kind = SIDES[side]
    found = await open_model(f"gguf:{weights.packaged()}" if packaged else "embedded", "policy")
    profile = found.profile
    if alone:
        profile = msgspec.structs.replace(profile, choices="separate", max_choices=1, parallel=1)
    model = kind(found.endpoint, found.model, profile, found.context, name=found.name)
    try:
        yield model
    finally:
        await model.aclose()
        await found.aclose()


# --- the formats of the weights


def formats(folder: Path) -> dict[str, Path]:
    """The packaged weights and what they can be rewritten as."""
    source = weights.packaged()
    paths = {"Q4_1, as packaged": source}
    for form in (Q8_0, Q4_0):
        paths[form.name] = folder / f"{form.name}.gguf"
        requantize(source, paths[form.name], form)
    return paths


def compare_formats(paths: dict[str, Path], repeats: int) -> None:
    """Tokens a second of each format, in turns."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in paths}
    for _ in range(repeats):
        for name, path in paths.items():
            found[name].append(measured(["speeds", str(path)]))
    columns = list(found[next(iter(found))][0])
    print("| tokens/s | MB | " + " | ".join(columns) + " |")
    print("| --- |" + " --- |" * (len(columns) + 1))
    for name, runs in found.items():
        rates = " | ".join(f"{median(run[column] for run in runs):.0f}" for column in columns)
        print(f"| {name} | {paths[name].stat().st_size / 1e6:.0f} | {rates} |")


def speeds(http: httpx.Client, tokens: int) -> dict[str, float]:
    """Tokens a second for one, five and ten answers at once, and of a prompt's evaluation."""

    def took(content: str, **options: Any) -> tuple[float, int]:
        began = time.perf_counter()
        body = {"messages": [{"role": "user", "content": content}], "ignore_eos": True, "seed": 7, **options}
        reply = http.post("/v1/chat/completions", json=body).raise_for_status().json()
        return time.perf_counter() - began, int(reply["usage"]["prompt_tokens"])

    def best(measure: Callable[[], float]) -> float:
        return max(measure() for _ in range(2))

    def answering(n: int) -> float:
        return n * tokens / took(QUESTIONS[0], n=n, max_tokens=tokens)[0]

    def reading() -> float:
        seconds, count = took(" ".join(QUESTIONS * 25), max_tokens=1)
        return count / seconds

    took(WARM_UP, max_tokens=4)
    rates = {f"N={n}": best(lambda n=n: answering(n)) for n in (1, 5, 10)}  # type: ignore[misc]
    return {**rates, "prompt": best(reading)}


if __name__ == "__main__":
    main()
