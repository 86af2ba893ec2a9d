"""IFEval as a benchmark: are instructions followed that a program can check (Zhou et al., 2023, arXiv 2311.07911)?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from tpo.evals.benchmarks.protocol import Benchmark, Column, Grade, Graders, Response, Row, Summary, averaged
from tpo.evals.data import QUERIES, Published, Source, chosen
from tpo.evals.ifeval import Followed, accuracy, followed

DATA = Published(
    "ifeval",
    QUERIES,
    ("input_data.jsonl", "*.jsonl", "*.json", "*.parquet"),
    ("key", "prompt", "instruction_id_list", "kwargs"),
    "https://huggingface.co/datasets/google/IFEval (ifeval_input_data.jsonl)",
    "google/IFEval@train",
)
_ALL = ("prompt_strict", "instruction_strict", "prompt_loose", "instruction_loose")


class IFEval(Benchmark):
    """541 prompts; not in the paper."""

    name = "ifeval"
    columns = (
        Column("prompt_strict", "IFEval", "%", "prompts of which every instruction is followed, strictly"),
        Column("instruction_strict", "IFEval instructions", "%", "single instructions followed, strictly", main=False),
        Column("prompt_loose", "IFEval loose", "%", "prompts, by any of eight forms of the response", main=False),
        Column("instruction_loose", "IFEval instructions loose", "%", "instructions, by any of the forms", main=False),
    )

    def rows(self, source: Source, limit: int | None = None, seed: int = 0) -> list[Row]:
        """See `Benchmark`."""
        rows = []
        for fields in source.records(DATA):
            about = {name: fields[name] for name in ("key", "instruction_id_list", "kwargs")}
            rows.append(Row(str(fields["key"]), [{"role": "user", "content": str(fields["prompt"])}], about))
        return chosen(rows, limit, seed)

    async def grade(self, row: Row, response: Response, graders: Graders) -> Grade:
        """See `Benchmark`; no judge is asked."""
        found = followed(response.text, row.metadata)
        values = {
            "prompt_strict": float(all(found.strict)),
            "instruction_strict": sum(found.strict) / len(found.strict),
            "prompt_loose": float(all(found.loose)),
            "instruction_loose": sum(found.loose) / len(found.loose),
        }
        return Grade(values, {}, {"ids": found.ids, "strict": found.strict, "loose": found.loose})

    def summary(self, rows: Sequence[Row], grades: Mapping[str, Grade]) -> Summary:
        """See `Benchmark`; an instruction counts once, in whatever prompt it stands."""
        found = averaged(self.columns, rows, grades)
        details = [grades[id].details for id in found.values.get("prompt_strict", {})]
        if not details:
            return found
        numbers = accuracy([Followed(*(tuple(one[name]) for name in ("ids", "strict", "loose"))) for one in details])
        return msgspec.structs.replace(found, estimates={name: getattr(numbers, name) for name in _ALL})
