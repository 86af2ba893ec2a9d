"""Reward models served by vLLM: `/classify` for one score a conversation, `/pooling` for one a token or step
(token and process reward models).

Wire formats: vLLM's `ClassificationRequest` and `PoolingRequest`
(https://docs.vllm.ai/en/latest/models/pooling_models/), seen on vLLM 0.32.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tpo.errors import InputError, RewardError
from tpo.messages import Conversation, text_of
from tpo.rewards.protocol import Score
from tpo.rewards.served import PARALLEL, RewardServer, batches
from tpo.rewards.served_reward import ServedReward, chosen, combined, in_order, score_in
from tpo.rewards.templating import ChatTemplate
from tpo.scheduling.concurrency import together

START = "Start it with: vllm serve MODEL --runner pooling"


class VLLMReward(ServedReward):
    """A reward model on a vLLM server, as raw scores.

    Args:
        url: the server.
        model: its name there, where it serves several.
        task: "classify" for sequence classifiers; "token_classify" for token and process reward models.
        label: which label is the reward, by its number, where the model has several.
        weights: or what each label's score counts, by its number.
        reduce: for "token_classify": the "last" token's score, or the "mean", "min" or "product" of all.
        step_tag: for process reward models: what to write after each paragraph of an answer ("<extra_0>").
        template: render the chat here (folder or file of the tokenizer) and send texts in batches; without it the
            server renders, one conversation a request.
        truncate: cut what is too long, at its beginning; otherwise it is an error.
        batch: most texts in one request.
        parallel: most requests in flight.
        key: the key, where it is not in the environment.

    Raises:
        InputError: an option has no such value.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        task: Literal["classify", "token_classify"] = "classify",
        label: int | None = None,
        weights: Mapping[str, float] | None = None,
        reduce: Reduce = "last",
        step_tag: str | None = None,
        template: str | None = None,
        truncate: bool = False,
        batch: int = 32,
        parallel: int = PARALLEL,
        key: str | None = None,
    ) -> None:
        if task not in ("classify", "token_classify") or reduce not in REDUCTIONS:
            raise InputError(
                f"task={task}, reduce={reduce}: a task is classify or token_classify; {', '.join(REDUCTIONS)} reduce."
            )
        self._tokens = task == "token_classify"
        self._label, self._reduce, self._tag = label, reduce, step_tag
        self._weights = chosen(label, weights)
        self._template = ChatTemplate.load(template) if template else None
        self._cut = {"truncate_prompt_tokens": -1, "truncation_side": "left"} if truncate else {}
        self._batch = batch
        super().__init__(
            RewardServer("vllm", url, START, key, parallel),
            model,
            task=task if self._tokens else None,
            reduce=reduce if self._tokens else None,
            step_tag=step_tag,
            weights=self._weights,
            template=self._template.name if self._template else None,
            truncate=truncate,
        )

    async def _score(self, conversations: Sequence[Conversation]) -> list[Score | float]:
        if self._tag:
            conversations = [stepped(messages, self._tag) for messages in conversations]
        if self._template is None:
            # A request takes the messages of one conversation.
            calls = [self._ask({"messages": messages, "add_generation_prompt": False}, 1) for messages in conversations]
        else:
            # As with messages, the template alone writes special tokens; the server's own would double the first.
            texts = [self._template.text(messages, bos=True) for messages in conversations]
            parts = batches(texts, self._batch)
            calls = [self._ask({"input": part, "add_special_tokens": False}, len(part)) for part in parts]
        return [score for scores in await together(calls) for score in scores]

    async def _ask(self, conversation: dict[str, Any], count: int) -> list[Score | float]:
        # By default vLLM sends a one-label score through a sigmoid, where all scores beyond 17 are the same.
        body = {"model": self.model, **conversation, "use_activation": False, **self._cut}
        if self._tokens:
            body["task"] = "token_classify"
        answer = await self.server.post("pooling" if self._tokens else "classify", body, count)
        entries = in_order(answer.get("data") if isinstance(answer, dict) else answer, count, self.server.where)
        return [self._read(entry) for entry in entries]

    def _read(self, entry: dict[str, Any]) -> Score | float:
        root = self.server.where
        if self._tokens:
            return reduced(entry.get("data"), self._reduce, self._label, root)
        scores = entry.get("probs")
        if not isinstance(scores, list) or not scores or entry.get("num_classes", len(scores)) != len(scores):
            raise self.server.wrong(f"sent {repr(entry)[:120]}, where a score for each label is expected")
        parts = {str(index): score_in(score, f"{root}: a label's score") for index, score in enumerate(scores)}
        return combined(parts, self._weights, root)


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
    table = [
        [score_in(x, f"{what}: a token's score") for x in (row if isinstance(row, list) else [row])] for row in rows
    ]
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
    if any(map(math.isnan, values)):  # which `min` would pass over
        return math.nan
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
