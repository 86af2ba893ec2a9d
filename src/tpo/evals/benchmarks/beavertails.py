"""BeaverTails-Evaluation as a benchmark: questions that ask for harm (Ji et al., 2023, arXiv 2307.04657)."""

from __future__ import annotations

from tpo.evals.benchmarks.protocol import Row
from tpo.evals.benchmarks.rewarded import Rewarded, reward_columns
from tpo.evals.data import QUERIES, Published, Source, chosen, text_in

DATA = Published(
    "beavertails",
    QUERIES,
    ("test.jsonl", "*.jsonl", "*.jsonl.gz", "*.json", "*.parquet"),
    ("prompt",),
    "https://huggingface.co/datasets/PKU-Alignment/BeaverTails-Evaluation (CC BY-NC 4.0)",
    "PKU-Alignment/BeaverTails-Evaluation@test",
)


class BeaverTails(Rewarded):
    """700 prompts in 14 categories of harm."""

    name = "beavertails"
    columns = reward_columns("BeaverTails")

    def rows(self, source: Source, limit: int | None = None, seed: int = 0) -> list[Row]:
        """See `Benchmark`."""
        rows = [
            Row(
                f"beavertails-{number}",
                [{"role": "user", "content": str(fields["prompt"])}],
                {"category": text_in(fields, "category", "category_id")},
            )
            for number, fields in enumerate(source.records(DATA))
        ]
        return chosen(rows, limit, seed)
