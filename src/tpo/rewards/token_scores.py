"""From a number for each token, or for each step of an answer, to one score: token and process reward models."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Literal

from tpo.errors import RewardError
from tpo.messages import Conversation, text_of
from tpo.rewards.served_reward import number

Reduce = Literal["last", "mean", "min", "product"]
REDUCTIONS = ("last", "mean", "min", "product")


def reduced(rows: Any, reduce: Reduce, label: int | None, what: str) -> float:
    """One number from one row of raw label scores a token (or a step).

    Args:
        rows: shape [tokens, labels], or [tokens] for one label; logits.
        reduce: "last" takes the last row; the others go over all rows.
        label: whose score counts where there are several; it is read as a probability, the softmax over the labels.
        what: the server, for errors.

    Returns:
        The number. With one label it is the logit itself; for "product", which is about probabilities, the product of
        their logistic values.

    Raises:
        RewardError: the rows are no numbers, their lengths differ, or a label is needed or does not exist.
    """
    if rows == []:
        raise RewardError(
            f"{what} sent no scores: is the tag after each step the one that it looks for (step_tag=TAG)?"
        )
    if not isinstance(rows, list):
        raise RewardError(f"{what} sent {repr(rows)[:80]}, where a list of numbers for each token is expected.")
    table = [[number(x, f"{what}: a token's score") for x in (row if isinstance(row, list) else [row])] for row in rows]
    labels = len(table[0])
    if any(len(row) != labels for row in table) or not labels:
        raise RewardError(f"{what} sent rows of different lengths, where one number for each label is expected.")
    if labels > 1 and label is None:
        raise RewardError(f"{what} sent {labels} labels for each token: say which one means good (label=NUMBER).")
    if labels > 1 and not 0 <= (label or 0) < labels:
        raise RewardError(f"{what} sent labels 0 to {labels - 1}; there is no label {label}.")
    values = [_value(row, label or 0, reduce) for row in table]
    if reduce == "last":
        return values[-1]
    if reduce == "mean":
        return math.fsum(values) / len(values)
    return min(values) if reduce == "min" else math.prod(values)


def stepped(messages: Conversation, tag: str) -> Conversation:
    """The conversation with a tag after every paragraph of its answer, where process reward models score steps."""
    steps = [step.strip() for step in re.split(r"\n\s*\n", text_of(messages[-1])) if step.strip()]
    return [*messages[:-1], {**messages[-1], "content": "".join(f"{step}{tag}" for step in steps)}]


def _value(row: Sequence[float], label: int, reduce: Reduce) -> float:
    if len(row) > 1:
        top = max(row)
        return math.exp(row[label] - top) / math.fsum(math.exp(x - top) for x in row)
    return _logistic(row[0]) if reduce == "product" else row[0]


def _logistic(x: float) -> float:
    # Two forms, so that neither exponential overflows.
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
