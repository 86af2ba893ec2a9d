r"""MATH-500 as a benchmark: zero-shot, one solution each (Lightman et al., 2023, arXiv 2305.20050)."""

from __future__ import annotations

import asyncio
from functools import cached_property

from tpo.evals.benchmarks.protocol import Benchmark, Column, Grade, Graders, Response, Row
from tpo.evals.data import QUERIES, Published, Source, chosen, text_in
from tpo.rewards.verifiers.maths import Math

DATA = Published(
    "math500",
    QUERIES,
    ("math500.jsonl", "test.jsonl", "*.jsonl", "*.json", "*.parquet"),
    ("problem", "answer"),
    "https://huggingface.co/datasets/HuggingFaceH4/MATH-500 (test.jsonl)",
    "HuggingFaceH4/MATH-500@test",
)

# The paper does not print its prompt; this asks for what grading needs and no more.
TASK = "Solve the problem step by step, and put the final answer in \\boxed{}."


class Math500(Benchmark):
    """500 problems; the paper reports zero-shot pass@1."""

    name = "math500"
    columns = (Column("accuracy", "MATH-500", "%", "problems whose final answer is right (zero-shot, one try)"),)

    @cached_property
    def _grader(self) -> Math:
        return Math("0")  # `grade` gets the reference of each solution; this one is never used

    def rows(self, source: Source, limit: int | None = None, seed: int = 0) -> list[Row]:
        """See `Benchmark`."""
        _ = self._grader  # what it needs is missed before anything is paid for
        rows = [
            Row(
                text_in(fields, "id", "unique_id") or f"math500-{number}",
                [{"role": "user", "content": f"{fields['problem']}\n\n{TASK}"}],
                {"answer": str(fields["answer"]), "subject": text_in(fields, "subject")},
            )
            for number, fields in enumerate(source.records(DATA))
        ]
        return chosen(rows, limit, seed)

    async def grade(self, row: Row, response: Response, graders: Graders) -> Grade:
        """See `Benchmark`; no judge is needed."""
        # The comparison runs in a process of its own, for which this thread would wait.
        verdict = await asyncio.to_thread(self._grader.grade, response.text, (str(row.metadata["answer"]),))
        why = verdict.fault or "the final answer is right"
        return Grade({"accuracy": float(verdict.right)}, {}, {"found": verdict.found, "why": why})
