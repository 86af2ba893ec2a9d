"""How often a reward prefers the answer that people preferred, beside length alone.

    python benchmarks/surface_accuracy.py DATA_DIR [REWARD]

DATA_DIR holds the public pair sets in their original files: `llmbar/*.json`, `pandalm/testset-v1.json`,
`autoj/testdata_pairwise.jsonl`. REWARD is what `tpo align --reward` takes, `surface` unless given. Prints a Markdown
table. An equal score counts one half; pairs that people called a tie are left out. The second column tells on which
sets the weights of `surface` were set.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from tpo.checks.pairs import agreement, agreement_of_length, difference, share
from tpo.checks.preferences import Pair, read_pairs
from tpo.rewards.protocol import Reward
from tpo.rewards.resolve import resolve

FILES = {
    "PandaLM": "pandalm/testset-v1.json",
    "LLMEval2": "llmbar/processed_LLMEval2.json",
    "Auto-J": "autoj/testdata_pairwise.jsonl",
    "FairEval": "llmbar/processed_FairEval.json",
    "LLMBar Natural": "llmbar/Natural.json",
    "LLMBar GPTInst": "llmbar/GPTInst.json",
    "LLMBar Manual": "llmbar/Manual.json",
}
FITTED = ["PandaLM", "LLMEval2"]
MEASURED = ["Auto-J", "FairEval", "LLMBar Natural"]
ADVERSARIAL = ["LLMBar GPTInst", "LLMBar Manual"]


async def main(arguments: Sequence[str]) -> int:
    """Print the table for a data directory."""
    if not 1 <= len(arguments) <= 2:
        print(__doc__, file=sys.stderr)
        return 2
    reward = resolve(arguments[1] if len(arguments) == 2 else None).reward
    assert reward is not None
    sets = {name: read_pairs(Path(arguments[0]) / file) for name, file in FILES.items()}
    print(f"| pairs | weights set on them | n | {reward.name.partition('@')[0]} | length alone | difference |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in [*FITTED, *MEASURED]:
        await row(reward, name, "yes" if name in FITTED else "no", sets[name])
    await row(reward, "**all five**", "in part", joined(sets, FITTED + MEASURED))
    await row(reward, "**the three measured only**", "no", joined(sets, MEASURED))
    for name, names, weighed in [("all five", FITTED + MEASURED, "in part"), ("measured only", MEASURED, "no")]:
        alike = [pair for pair in joined(sets, names) if pair.alike_in_length]
        await row(reward, f"{name}, lengths within 20 %", weighed, alike)
    for name in ADVERSARIAL:
        await row(reward, f"{name} (adversarial)", "no", sets[name])
    await row(reward, "**adversarial, both**", "no", joined(sets, ADVERSARIAL))
    return 0


async def row(reward: Reward, name: str, weighed: str, pairs: Sequence[Pair]) -> None:
    """Print one line: accuracies in percent with 95 % intervals, and their paired difference."""
    ours, length = await agreement(reward, pairs), agreement_of_length(pairs)
    cells = [name, weighed, str(len(pairs)), share(ours), share(length), difference(ours, length)]
    print(f"| {' | '.join(cells)} |", flush=True)


def joined(sets: dict[str, list[Pair]], names: Sequence[str]) -> list[Pair]:
    """The pairs of several sets."""
    return [pair for name in names for pair in sets[name]]


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
