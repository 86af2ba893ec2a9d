"""A user's own queries as a benchmark: `tpo eval mine --data mine=questions.csv`. No code is needed.

Each answer is graded by all that there is: the reward, a held-out reward (a verifier is one), a judge, and the column
`answer` of the data, with which the final answer is compared.
"""

from __future__ import annotations

from typing import Any

from tpo.errors import InputError
from tpo.evals.benchmarks.mt_bench import SCALE, judged
from tpo.evals.benchmarks.protocol import Column, Grade, Graders, Response, Row
from tpo.evals.benchmarks.rewarded import Rewarded, reward_columns
from tpo.evals.data import Source, chosen
from tpo.rewards.verifiers.exact import Exact, accepted
from tpo.runs.reading.data import Data
from tpo.runs.reading.records import Flaw, guarded
from tpo.runs.rows import BadRow

# The column with the right answer: a text, a number, or a list of them that are all right.
ANSWER = "answer"
NO_ANSWER = f"needs a column {ANSWER!r} in the data"


class UserData(Rewarded):
    """Queries from a file in any format that `tpo run` reads.

    Args:
        name: under which name `--data NAME=PLACE` gives the data.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.columns = (
            *reward_columns(name),
            Column("grade", f"{name} grade", f"{SCALE.low}-{SCALE.high}", "mean grade by a judge"),
            Column("accuracy", f"{name} accuracy", "%", f"final answers that equal the column {ANSWER!r}"),
        )
        self._exact = Exact("0")  # `grade` gives it the reference of each query; this one is never used

    def rows(self, source: Source, limit: int | None = None, seed: int = 0) -> list[Row]:
        """See `Benchmark`."""
        table = source.table(self.name)
        records = guarded(table.name, table.records({ANSWER}))
        rows = []
        for row, record in zip(Data(table, None).rows(), records, strict=True):
            if isinstance(row, BadRow):
                raise InputError(f"{row.where}: {row.reason}")
            answer = None if isinstance(record, Flaw) else record.fields.get(ANSWER)
            rows.append(Row(row.id, row.messages, {} if _is_empty(answer) else {ANSWER: _accepted(answer, row.where)}))
        return chosen(rows, limit, seed)

    async def grade(self, row: Row, response: Response, graders: Graders) -> Grade:
        """See `Benchmark`."""
        grade = await super().grade(row, response, graders)
        values, missing, details = dict(grade.values), dict(grade.missing), dict(grade.details)
        answers = row.metadata.get(ANSWER)
        found = await judged(graders.judge, row.messages, response.text, " or ".join(answers or []))
        details |= found.details
        if found.value is None:
            missing["grade"] = found.missing
        else:
            values["grade"] = found.value
        if answers is None:
            missing["accuracy"] = NO_ANSWER
        else:
            verdict = self._exact.check(response.text, tuple(answers))
            values["accuracy"], details["why"] = verdict.value, verdict.feedback
        return Grade(values, missing, details)


def _is_empty(answer: Any) -> bool:
    return answer is None or answer != answer or (isinstance(answer, str) and not answer.strip())  # NaN: pandas' gap


def _accepted(answer: Any, where: str) -> list[str]:
    try:
        return list(accepted(answer))
    except ValueError as error:
        raise InputError(f"{where}: {error}.") from error
