"""MT-Bench as a benchmark: two turns, each graded from 1 to 10 (Zheng et al., 2023, arXiv 2306.05685)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from statistics import fmean
from typing import Any, NamedTuple

import msgspec

from tpo.errors import InputError
from tpo.evals.benchmarks.protocol import (
    NO_JUDGE,
    Benchmark,
    Column,
    Grade,
    Graders,
    JudgeModel,
    Response,
    Row,
    Summary,
    averaged,
)
from tpo.evals.data import QUERIES, Published, Source, chosen, text_in
from tpo.evals.questions import Question
from tpo.messages import Conversation, answered, readable
from tpo.rewards.judges.grades import Scale, read_grade
from tpo.stats import mean_of

WHERE = "https://github.com/lm-sys/FastChat (fastchat/llm_judge/data/mt_bench"
DATA = Published(
    "mt_bench",
    QUERIES,
    ("question.jsonl", "*question*.jsonl", "*.parquet"),
    ("question_id|prompt_id", "category", "turns|prompt"),
    f"{WHERE}/question.jsonl)",
    "HuggingFaceH4/mt_bench_prompts@train",
)
REFERENCES = Published(
    "mt_bench",
    "the reference answers",
    ("reference_answer/gpt-4.jsonl", "reference_answer_gpt-4.jsonl", "*reference*.jsonl"),
    ("question_id", "choices"),
    f"{WHERE}/reference_answer/gpt-4.jsonl)",
)
JUDGE_TOKENS = 512
SCALE = Scale(1, 10)
# What the id of a second turn ends with.
SECOND = "-2"


class JudgeGrade(NamedTuple):
    """A judge's grade of one response.

    Attributes:
        value: from 1 to 10; None without a grade.
        missing: why there is none.
        details: the judge's reply.
    """

    value: float | None
    missing: str = ""
    details: dict[str, Any] = {}  # noqa: RUF012 - never changed


@cache
def _question() -> Question:
    return Question("mt_bench", "conversation", "answer", "reference")


async def judged(judge: JudgeModel | None, messages: Conversation, text: str, reference: str) -> JudgeGrade:
    """A judge's grade of one response, from 1 to 10.

    Args:
        judge: the judge, if there is one.
        messages: the conversation that was answered.
        text: the response.
        reference: a response that is known to be good; empty without one.
    """
    if judge is None:
        return JudgeGrade(None, NO_JUDGE)
    reply = await judge.ask(
        _question().messages(conversation=readable(messages), answer=text, reference=reference), JUDGE_TOKENS
    )
    grade = read_grade(reply.text, SCALE)
    details = {"judge": reply.text}
    if reply.problem is not None or math.isnan(grade.value):
        return JudgeGrade(None, reply.problem or grade.problem or "the judge gave no grade", details)
    return JudgeGrade(grade.value, "", details)


class MTBench(Benchmark):
    """80 questions of two turns; not in the paper. The second turn follows the method's own first answer."""

    name = "mt_bench"
    columns = (
        Column("score", "MT-Bench", "1-10", "mean grade of both turns, by a judge"),
        Column("turn_1", "MT-Bench turn 1", "1-10", "mean grade of the first turns", main=False),
        Column("turn_2", "MT-Bench turn 2", "1-10", "mean grade of the second turns", main=False),
    )

    def rows(self, source: Source, limit: int | None = None, seed: int = 0) -> list[Row]:
        """See `Benchmark`."""
        references: dict[str, list[str]] = {}
        if source.holds(REFERENCES):
            for fields in source.records(REFERENCES):
                references[str(fields["question_id"])] = list(fields["choices"][0]["turns"])
        rows = []
        for fields in source.records(DATA):
            id, turns = text_in(fields, "question_id", "prompt_id"), fields.get("turns") or fields.get("prompt")
            if not isinstance(turns, list) or len(turns) != 2:
                raise InputError(f"MT-Bench, question {id}: two turns are expected.")
            about: dict[str, Any] = {"turn": 1, "next": turns[1], "category": fields["category"]}
            known = references.get(id) or fields.get("reference") or []
            rows.append(
                Row(id, [{"role": "user", "content": turns[0]}], about | {"references": [str(one) for one in known]})
            )
        return chosen(rows, limit, seed)

    def next_rows(self, rows: Sequence[Row], responses: Mapping[str, Response]) -> list[Row]:
        """The second turns of the questions whose first turn was answered."""
        return [
            Row(
                f"{row.id}{SECOND}",
                [*answered(row.messages, responses[row.id].text), {"role": "user", "content": row.metadata["next"]}],
                {"turn": 2, "category": row.metadata["category"], "references": row.metadata["references"]},
            )
            for row in rows
            if row.metadata["turn"] == 1 and row.id in responses
        ]

    async def grade(self, row: Row, response: Response, graders: Graders) -> Grade:
        """See `Benchmark`."""
        turn = int(row.metadata["turn"])
        columns = ("score", f"turn_{turn}")
        references = row.metadata["references"]
        reference = references[turn - 1] if len(references) >= turn else ""
        found = await judged(graders.judge, row.messages, response.text, reference)
        if found.value is None:
            return Grade(missing=dict.fromkeys(columns, found.missing), details=found.details)
        return Grade(dict.fromkeys(columns, found.value), {}, found.details)

    def summary(self, rows: Sequence[Row], grades: Mapping[str, Grade]) -> Summary:
        """See `Benchmark`; the score is a mean over questions, since the two turns of one are not independent.

        A question with a grade of one turn alone has no score: second turns get lower grades than first ones.
        """
        found = averaged(self.columns, rows, grades)
        turns: dict[str, list[float]] = {}
        for id, value in found.values.pop("score", {}).items():
            turns.setdefault(id.removesuffix(SECOND), []).append(value)
        if not turns:
            return found
        estimates = {name: estimate for name, estimate in found.estimates.items() if name != "score"}
        unread = {name: count for name, count in found.unread.items() if name != "score"}
        values = {id: fmean(both) for id, both in turns.items() if len(both) == 2}
        if not values:
            why = {"score": "no question has a grade of both turns"}
            return msgspec.structs.replace(found, estimates=estimates, unread=unread, missing=found.missing | why)
        estimates["score"] = mean_of(list(values.values()), 1.0)
        if alone := len({id.removesuffix(SECOND) for id in grades}) - len(values):
            unread["score"] = alone
        return msgspec.structs.replace(
            found, values=found.values | {"score": values}, estimates=estimates, unread=unread
        )
