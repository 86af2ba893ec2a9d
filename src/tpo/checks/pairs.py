"""How often a reward agrees with people, beside a baseline that only counts letters."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tpo.errors import InputError
from tpo.messages import Conversation, answered, conversation
from tpo.rewards.asking import ask
from tpo.rewards.protocol import PoolReward, Reward

BATCH = 32


class Pair(NamedTuple):
    """Two answers to a query, and whether people preferred the first."""

    query: Conversation
    first: str
    second: str
    first_wins: bool

    @property
    def alike_in_length(self) -> bool:
        """Whether the shorter has at least 80 % of the longer's characters."""
        shorter, longer = sorted((len(self.first), len(self.second)))
        return shorter >= 0.8 * longer


async def agreement(reward: Reward | PoolReward, pairs: Sequence[Pair]) -> list[float]:
    """1 where the reward prefers the same answer as people, 0 where the other, one half where neither.

    A pair whose answers get no finite score counts one half: the reward does not know.
    """
    if isinstance(reward, PoolReward):
        scores = [await ask(reward, _both(pair)) for pair in pairs]
        return [_agrees(one.value - two.value, pair) for (one, two), pair in zip(scores, pairs, strict=True)]
    hits = []
    for start in range(0, len(pairs), BATCH):
        some = pairs[start : start + BATCH]
        flat = await ask(reward, [one for pair in some for one in _both(pair)])
        gaps = [one.value - two.value for one, two in zip(flat[::2], flat[1::2], strict=True)]
        hits += [_agrees(gap, pair) for gap, pair in zip(gaps, some, strict=True)]
    return hits


def agreement_of_length(pairs: Sequence[Pair]) -> list[float]:
    """The same for preferring the longer answer."""
    return [_agrees(float(len(pair.first) - len(pair.second)), pair) for pair in pairs]


def _both(pair: Pair) -> list[Conversation]:
    return [answered(pair.query, pair.first), answered(pair.query, pair.second)]


def _agrees(gap: float, pair: Pair) -> float:
    if not abs(gap) >= 1e-12:  # equal, or no number
        return 0.5
    return float((gap > 0) == pair.first_wins)


def share(hits: Sequence[float]) -> str:
    """A share with its 95 % Wilson interval, in percent."""
    n, z = len(hits), 1.96
    mean = math.fsum(hits) / n
    centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
    return f"{100 * mean:.1f} [{100 * (centre - half):.1f}, {100 * (centre + half):.1f}]"


def difference(ours: Sequence[float], others: Sequence[float]) -> str:
    """The mean paired difference with its 95 % interval, in percentage points."""
    gaps = [a - b for a, b in zip(ours, others, strict=True)]
    mean = math.fsum(gaps) / len(gaps)
    if len(gaps) == 1:
        return f"{100 * mean:+.1f}"
    spread = math.sqrt(math.fsum((gap - mean) ** 2 for gap in gaps) / (len(gaps) - 1) / len(gaps))
    return f"{100 * mean:+.1f} ± {100 * 1.96 * spread:.1f}"


def read_pairs(path: Path) -> list[Pair]:
    """Read human preferences.

    Args:
        path: JSON Lines or a JSON list, in one of the published forms: chosen and rejected answers with a prompt;
            LLMBar (input, output_1, output_2, label 1 or 2); PandaLM (three annotators, the majority counts);
            Auto-J (prompt, response 1, response 2, label 0 or 1). Ties are left out.

    Raises:
        InputError: the file cannot be read, or a row has none of these forms; the message names the row.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The pairs {path} cannot be read: {error}.") from error
    try:
        rows = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines()]
    except json.JSONDecodeError as error:
        raise InputError(f"The pairs {path} are neither JSON Lines nor a JSON list: {error}.") from error
    pairs = []
    for number, row in enumerate(rows, 1):
        try:
            pair = _pair(row)
        except (KeyError, TypeError, StopIteration) as error:
            raise InputError(
                f"{path}, row {number}: no pair of a known form. Give prompt, chosen and rejected, or LLMBar's, "
                f"PandaLM's or Auto-J's fields."
            ) from error
        if pair is not None:
            pairs.append(pair)
    if not pairs:
        raise InputError(f"{path} holds no pair with a preference.")
    return pairs


def _pair(row: dict[str, Any]) -> Pair | None:
    form = next(form for mark, form in FORMS.items() if mark in row)
    return form(row)


def _chosen(row: dict[str, Any]) -> Pair:
    query = row.get("messages") or next(row[name] for name in ("prompt", "instruction", "question") if row.get(name))
    return Pair(conversation(query), _answer(row["chosen"]), _answer(row["rejected"]), True)


def _answer(value: Any) -> str:
    return str(value[-1]["content"]) if isinstance(value, list) else str(value)


def _llmbar(row: dict[str, Any]) -> Pair:
    return Pair(conversation(row["input"]), row["output_1"], row["output_2"], row["label"] == 1)


def _pandalm(row: dict[str, Any]) -> Pair | None:
    votes = [row[f"annotator{number}"] for number in (1, 2, 3)]
    if max(votes.count(1), votes.count(2)) < 2:
        return None
    query = "\n\n".join(filter(None, [row["instruction"], row["input"]]))
    # One answer of the set is the bare word false, which became a JSON value.
    return Pair(conversation(query), str(row["response1"]), str(row["response2"]), votes.count(1) >= 2)


def _autoj(row: dict[str, Any]) -> Pair | None:
    if row["label"] == 2:
        return None
    return Pair(conversation(row["prompt"]), row["response 1"], row["response 2"], row["label"] == 0)


# By the field that gives a form away.
FORMS: dict[str, Callable[[dict[str, Any]], Pair | None]] = {
    "annotator1": _pandalm,
    "output_1": _llmbar,
    "response 1": _autoj,
    "chosen": _chosen,
}
