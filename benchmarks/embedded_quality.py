"""How well weights predict given texts, and how often they agree: the part of `embedded.py` behind --quality.

The engine reports the probabilities of the next token alone. So each token of a text is requested after those before
it, and is forced by a bias, which its reported probability does not include; the prompt cache makes that one step each.
"""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any, TypeAlias

import httpx

# The log-probability of the text's own token, and those of the likeliest ones by id, likeliest first.
Position: TypeAlias = tuple[float, list[tuple[int, float]]]
Scores: TypeAlias = list[list[Position]]

_LIKELIEST = 40


def texts(data: Path, count: int) -> list[tuple[str, str]]:
    """Instructions with answers of some length, evenly out of AlpacaEval's."""
    rows = [json.loads(line) for line in (data / "prompts.jsonl").open(encoding="utf-8")]
    asked = {row["id"]: row["instruction"] for row in rows}
    with gzip.open(data / "gpt4_1106_preview.jsonl.gz", "rt", encoding="utf-8") as file:
        answers = [json.loads(line) for line in file]
    pairs = [(asked[row["prompt_id"]], row["output"]) for row in answers if len(row["output"]) > 600]
    pairs = [pair for pair in pairs if len(pair[0]) < 400]
    return pairs[:: max(len(pairs) // count, 1)][:count]


def scored(http: httpx.Client, question: str, answer: str, positions: int) -> list[Position]:
    """The probabilities of the first tokens of an answer."""

    def post(path: str, **body: object) -> dict[str, Any]:
        return dict(http.post(path, json=body).raise_for_status().json())

    prompt = post("/apply-template", messages=[{"role": "user", "content": question}])["prompt"]
    before = list(post("/tokenize", content=prompt, parse_special=True)["tokens"])
    own = list(post("/tokenize", content=answer)["tokens"])[:positions]
    found: list[Position] = []
    for at, token in enumerate(own):
        reply = post(
            "/completion",
            prompt=before + own[:at],
            n_predict=1,
            logit_bias=[[token, 1000]],
            temperature=0,
            n_probs=_LIKELIEST,
            cache_prompt=True,
        )
        (place,) = reply["completion_probabilities"]
        if place["id"] != token:
            raise RuntimeError(f"The engine wrote token {place['id']} where {token} was forced.")
        likeliest = [(entry["id"], entry["logprob"]) for entry in place["top_logprobs"]]
        found.append((place["logprob"], likeliest))
    return found


def report(scores: dict[str, Scores]) -> None:
    """Print perplexity and agreement; the first are the weights that the others are held against."""
    first, *_ = scores
    base = [position for text in scores[first] for position in text]
    print(f"{len(base)} tokens of {len(scores[first])} answers\n")
    print("| weights | perplexity | same likeliest token | divergence (nats a token) |")
    print("| --- | --- | --- | --- |")
    for name, found in scores.items():
        mine = [position for text in found for position in text]
        perplexity = math.exp(-sum(own for own, _ in mine) / len(mine))
        same = sum(a[0][0] == b[0][0] for (_, a), (_, b) in zip(base, mine, strict=True)) / len(mine)
        apart = sum(divergence(a, b) for (_, a), (_, b) in zip(base, mine, strict=True)) / len(mine)
        print(f"| {name} | {perplexity:.3f} | {100 * same:.1f} % | {apart:.4f} |")


def divergence(base: list[tuple[int, float]], other: list[tuple[int, float]]) -> float:
    """Kullback-Leibler divergence over the likeliest tokens of the first, all others taken as one."""
    known = dict(other)
    # Not among the other's likeliest: at most as likely as the last of them.
    least = min(known.values())
    pairs = [(math.exp(mine), math.exp(known.get(token, least))) for token, mine in base]
    rest, other_rest = (max(1 - math.fsum(side), 1e-6) for side in zip(*pairs, strict=True))
    return math.fsum(p * math.log(p / q) for p, q in [*pairs, (rest, other_rest)])
