"""GSM8K as a benchmark: word problems of grade school, zero-shot (Cobbe et al., 2021, arXiv 2110.14168)."""

from __future__ import annotations

from tpo.errors import InputError
from tpo.evals.benchmarks.math500 import Math500
from tpo.evals.benchmarks.protocol import Column, Row
from tpo.evals.data import QUERIES, Published, Source, chosen

DATA = Published(
    "gsm8k",
    QUERIES,
    ("test.jsonl", "*.jsonl", "*.parquet"),
    ("question", "answer"),
    "https://github.com/openai/grade-school-math (grade_school_math/data/test.jsonl)",
    "openai/gsm8k:main@test",
)
TASK = "Reason step by step, and put the final number in \\boxed{}."


class GSM8K(Math500):
    """1319 problems; not in the paper. Answers are graded as those of MATH-500."""

    name = "gsm8k"
    columns = (Column("accuracy", "GSM8K", "%", "problems whose final number is right (zero-shot, one try)"),)

    def rows(self, source: Source, limit: int | None = None, seed: int = 0) -> list[Row]:
        """See `Benchmark`."""
        _ = self._grader  # what it needs is missed before anything is paid for
        rows = []
        for number, fields in enumerate(source.records(DATA)):
            _, mark, result = str(fields["answer"]).rpartition("####")
            if not mark:
                raise InputError(f"GSM8K, row {number + 1}: the answer does not end with #### and a number.")
            messages = [{"role": "user", "content": f"{fields['question']}\n\n{TASK}"}]
            rows.append(Row(f"gsm8k-{number}", messages, {"answer": result.strip().replace(",", "")}))
        return chosen(rows, limit, seed)
