"""HH-RLHF as a benchmark: dialogues that wait for the assistant's next turn (Bai et al., 2022, arXiv 2204.05862)."""

from __future__ import annotations

import re

from tpo.errors import InputError
from tpo.evals.benchmarks.protocol import Row
from tpo.evals.benchmarks.rewarded import Rewarded, reward_columns
from tpo.evals.data import QUERIES, Published, Source, chosen
from tpo.messages import Conversation

DATA = Published(
    "hh_rlhf",
    QUERIES,
    ("*/test.jsonl.gz", "test.jsonl.gz", "*.jsonl.gz", "*.jsonl", "*.parquet"),
    ("chosen",),
    "https://huggingface.co/datasets/Anthropic/hh-rlhf (helpful-base/test.jsonl.gz, harmless-base/test.jsonl.gz, …)",
    "Anthropic/hh-rlhf@test",
    several=True,
)
_TURN = re.compile(r"\n\n(Human|Assistant):[ ]?")
_ROLES = {"Human": "user", "Assistant": "assistant"}


class HhRlhf(Rewarded):
    """The paper draws 500 of them, it does not say which; `limit` draws."""

    name = "hh_rlhf"
    columns = reward_columns("HH-RLHF")

    def rows(self, source: Source, limit: int | None = None, seed: int = 0) -> list[Row]:
        """See `Benchmark`."""
        rows = []
        for number, fields in enumerate(source.records(DATA)):
            try:
                rows.append(Row(f"hh-{number}", query_in(str(fields["chosen"]))))
            except InputError as error:
                raise InputError(f"HH-RLHF, row {number + 1}: {error}") from error
        return chosen(rows, limit, seed)


def query_in(dialogue: str) -> Conversation:
    """The messages of a dialogue up to where the last answer begins.

    Args:
        dialogue: as published: turns that begin with "Human:" and "Assistant:", each after an empty line.

    Raises:
        InputError: it is no such dialogue.
    """
    before, *parts = _TURN.split(dialogue)
    messages: Conversation = []
    for speaker, text in zip(parts[::2], parts[1::2], strict=True):
        role = _ROLES[speaker]
        if messages and messages[-1]["role"] == role:  # a person may write twice before there is an answer
            messages[-1]["content"] += f"\n\n{text.strip()}"
        elif messages or role == "user":
            messages.append({"role": role, "content": text.strip()})
    if messages and messages[-1]["role"] == "assistant":
        messages.pop()
    if before.strip() or not messages or not messages[-1]["content"]:
        raise InputError(f"{dialogue[:60]!r} is no dialogue that begins with a person and ends with an answer.")
    return messages
