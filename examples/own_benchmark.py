"""A benchmark of your own: queries, a grade for each answer, and a row of the table, with intervals.

python examples/own_benchmark.py OUT
"""

import asyncio
import os
import re
import sys
from pathlib import Path

from tpo.evals.benchmarks import BENCHMARKS, Benchmark, Column, Grade, Graders, Response, Row
from tpo.evals.data import Source, chosen
from tpo.evals.evaluate import Wanted, evaluate
from tpo.evals.table import table_of
from tpo.session.spec import Options

THINGS = ["a rug", "a wooden table", "a window", "silver spoons", "a bicycle", "a kettle"]


class Brevity(Benchmark):
    """Is an answer that has to be one sentence one sentence?"""

    name = "brevity"
    columns = (Column("kept", "Brevity", "%", "answers that are one sentence, as asked"),)

    def rows(self, source: Source, limit: int | None = None, seed: int = 0) -> list[Row]:
        """See `Benchmark`."""
        asked = [f"In one sentence: how do I clean {thing}?" for thing in THINGS]
        rows = [Row(f"brevity-{number}", [{"role": "user", "content": text}]) for number, text in enumerate(asked)]
        return chosen(rows, limit, seed)

    async def grade(self, row: Row, response: Response, graders: Graders) -> Grade:
        """See `Benchmark`."""
        sentences = len(re.findall(r"[.!?]+(?=\s|$)", response.text))
        return Grade({"kept": float(sentences == 1)}, details={"sentences": sentences})


BENCHMARKS[Brevity.name] = Brevity


def main(out: Path) -> None:
    wanted = Wanted(tasks=["brevity"], methods=["sample", "best-of-4"], out=out)
    options = Options(policy=os.environ.get("TPO_POLICY", "embedded"), max_tokens=64, seed=1)
    evaluation = asyncio.run(evaluate(wanted, options))
    for part in table_of(evaluation).parts:
        print(part.caption)
        for row in [part.headings, *part.rows]:
            print(" | ".join(row))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "brevity"))
