"""A benchmark of your own: queries, a grade for each answer, and a row of the table, with intervals.

tpo eval python:own_benchmark:Brevity --method sample --method best-of-4 --out /tmp/brevity     (from this folder)
"""

import re

from tpo.evals.benchmarks import Benchmark, Column, Grade, Graders, Response, Row
from tpo.evals.data import Source, chosen

THINGS = ["a rug", "a wooden table", "a window", "silver spoons", "a bicycle", "a kettle"]


class Brevity(Benchmark):
    """Whether an answer is one sentence, as requested."""

    name = "brevity"
    columns = (Column("kept", "Brevity", "%", "answers that are one sentence, as requested"),)

    def rows(self, source: Source, limit: int | None = None, seed: int = 0) -> list[Row]:
        """See `Benchmark`."""
        questions = [f"In one sentence: how do I clean {thing}?" for thing in THINGS]
        rows = [Row(f"brevity-{number}", [{"role": "user", "content": text}]) for number, text in enumerate(questions)]
        return chosen(rows, limit, seed)

    async def grade(self, row: Row, response: Response, graders: Graders) -> Grade:
        """See `Benchmark`."""
        sentences = len(re.findall(r"[.!?]+(?=\s|$)", response.text))
        return Grade({"kept": float(sentences == 1)}, details={"sentences": sentences})
