"""HH-RLHF as a benchmark: dialogues that wait for the assistant's next turn (Bai et al., 2022, arXiv 2204.05862)."""

from __future__ import annotations

from tpo.dialogues import dialogue
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


class HhRlhf(Rewarded):
    """The paper draws 500 of them, it does not list them; `limit` draws."""

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


def query_in(text: str) -> Conversation:
    """The messages of a dialogue up to where the last answer begins.

    Args:
        text: a dialogue as published.

    Raises:
        InputError: it is no such dialogue.
    """
    return dialogue(text)[0]
