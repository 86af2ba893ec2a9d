"""How often the surface reward prefers the answer that people preferred, beside length alone.

    python benchmarks/surface_accuracy.py DATA_DIR

DATA_DIR holds the public pair sets in their original files: `llmbar/*.json`, `pandalm/testset-v1.json`,
`autoj/testdata_pairwise.jsonl`. Prints a Markdown table. An equal score counts one half; pairs that people
called a tie are left out.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tpo.rewards.surface import surface


class Pair(NamedTuple):
    """Two answers to a query, and whether people preferred the first."""

    query: str
    first: str
    second: str
    first_wins: bool

    @property
    def alike_in_length(self) -> bool:
        """Whether the shorter has at least 80 % of the longer's characters."""
        shorter, longer = sorted((len(self.first), len(self.second)))
        return shorter >= 0.8 * longer


def main(arguments: Sequence[str]) -> int:
    """Print the table for a data directory."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    sets = load(Path(arguments[0]))
    fitted = ["PandaLM", "LLMEval2"]
    measured = ["Auto-J", "FairEval", "LLMBar Natural"]
    adversarial = ["LLMBar GPTInst", "LLMBar Manual"]
    print("| pairs | weights set on them | n | surface | length alone | difference |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in [*fitted, *measured]:
        print(row(name, "yes" if name in fitted else "no", sets[name]))
    print(row("**all five**", "in part", joined(sets, fitted + measured)))
    print(row("**the three measured only**", "no", joined(sets, measured)))
    alike = "lengths within 20 %"
    for name, names, weighed in [("all five", fitted + measured, "in part"), ("measured only", measured, "no")]:
        pairs = [pair for pair in joined(sets, names) if pair.alike_in_length]
        print(row(f"{name}, {alike}", weighed, pairs))
    for name in adversarial:
        print(row(f"{name} (adversarial)", "no", sets[name]))
    print(row("**adversarial, both**", "no", joined(sets, adversarial)))
    return 0


def row(name: str, weighed: str, pairs: Sequence[Pair]) -> str:
    """One line of the table: accuracies in percent with 95 % intervals, and their paired difference."""
    ours = [agreement(pair, lambda query, answer: surface(query, answer).value) for pair in pairs]
    length = [agreement(pair, lambda _, answer: float(len(answer))) for pair in pairs]
    cells = [name, weighed, str(len(pairs)), wilson(ours), wilson(length), difference(ours, length)]
    return f"| {' | '.join(cells)} |"


def agreement(pair: Pair, score: Callable[[str, str], float]) -> float:
    """1 where the score prefers the same answer as people, 0 where the other, one half where neither."""
    gap = score(pair.query, pair.first) - score(pair.query, pair.second)
    if abs(gap) < 1e-12:
        return 0.5
    return float((gap > 0) == pair.first_wins)


def wilson(hits: Sequence[float]) -> str:
    """A share with its 95 % Wilson interval, in percent."""
    n, z = len(hits), 1.96
    share = math.fsum(hits) / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return f"{100 * share:.1f} [{100 * (centre - half):.1f}, {100 * (centre + half):.1f}]"


def difference(ours: Sequence[float], others: Sequence[float]) -> str:
    """The mean paired difference with its 95 % interval, in percentage points."""
    gaps = [a - b for a, b in zip(ours, others, strict=True)]
    mean = math.fsum(gaps) / len(gaps)
    spread = math.sqrt(math.fsum((gap - mean) ** 2 for gap in gaps) / (len(gaps) - 1) / len(gaps))
    return f"{100 * mean:+.1f} ± {100 * 1.96 * spread:.1f}"


def joined(sets: dict[str, list[Pair]], names: Sequence[str]) -> list[Pair]:
    """The pairs of several sets."""
    return [pair for name in names for pair in sets[name]]


def load(folder: Path) -> dict[str, list[Pair]]:
    """Read every pair set."""
    files = {
        "LLMBar Natural": "Natural",
        "LLMBar GPTInst": "GPTInst",
        "LLMBar Manual": "Manual",
        "FairEval": "processed_FairEval",
        "LLMEval2": "processed_LLMEval2",
    }
    sets = {name: llmbar(folder / "llmbar" / f"{file}.json") for name, file in files.items()}
    sets["PandaLM"] = pandalm(folder / "pandalm" / "testset-v1.json")
    sets["Auto-J"] = autoj(folder / "autoj" / "testdata_pairwise.jsonl")
    return sets


def llmbar(path: Path) -> list[Pair]:
    """Pairs of the LLMBar repository: the label is the better output, 1 or 2."""
    return [Pair(r["input"], r["output_1"], r["output_2"], r["label"] == 1) for r in _json(path)]


def pandalm(path: Path) -> list[Pair]:
    """PandaLM's test set, where at least two of three annotators prefer the same answer."""
    pairs = []
    for record in _json(path):
        votes = [record[f"annotator{number}"] for number in (1, 2, 3)]
        query = "\n\n".join(filter(None, [record["instruction"], record["input"]]))
        if max(votes.count(1), votes.count(2)) >= 2:
            # One answer of the set is the bare word false, which became a JSON value.
            first, second = str(record["response1"]), str(record["response2"])
            pairs.append(Pair(query, first, second, votes.count(1) >= 2))
    return pairs


def autoj(path: Path) -> list[Pair]:
    """Auto-J's pairwise test set: the label is 0 or 1 for the better response, 2 for a tie."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Pair(r["prompt"], r["response 1"], r["response 2"], r["label"] == 0) for r in records if r["label"] != 2]


def _json(path: Path) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return records


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
