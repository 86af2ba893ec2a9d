"""Arena-Hard v0.1 as a benchmark: win rate against a baseline, by a judge that explains itself (arXiv 2406.11939)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec

from tpo.evals.arena_hard import STRONG, VERDICTS, Judgement, read_verdict, win_rates
from tpo.evals.benchmarks.pairs import AGAINST, ITSELF, OPPONENT, both_orders
from tpo.evals.benchmarks.protocol import NO_JUDGE, Benchmark, Column, Grade, Graders, Response, Row, Summary, averaged
from tpo.evals.data import QUERIES, Published, Source, chosen, text_in
from tpo.evals.questions import Question
from tpo.stats import Estimate

WHERE = "https://huggingface.co/datasets/lmarena-ai/arena-hard-auto (data/arena-hard-v0.1"
DATA = Published(
    "arena_hard",
    QUERIES,
    ("question.jsonl", "v0.1_question.jsonl", "*question*.jsonl"),
    ("question_id|uid", "turns|prompt"),
    f"{WHERE}/question.jsonl)",
)
ANSWERS = Published(
    "arena_hard",
    "the baseline's answers",
    ("model_answer/gpt-4-0314.jsonl", "gpt-4-0314.jsonl", "*gpt-4-0314*.jsonl*"),
    ("question_id|uid", "choices|messages"),
    f"{WHERE}/model_answer/gpt-4-0314.jsonl)",
)
NO_OPPONENT = f"needs {ANSWERS.what} beside the questions ({ANSWERS.where}), or --against METHOD"

JUDGE_TOKENS = 2048
_MODEL, _BASELINE = "model", "baseline"
# Half of an interval of 95 % in standard errors.
_Z = 1.96


class ArenaHard(Benchmark):
    """500 questions; the paper reports the win rate against GPT-4-0314, by GPT-4-turbo."""

    name = "arena_hard"
    columns = (
        Column("win_rate", "Arena-Hard", "%", "chance to beat the baseline (Bradley–Terry, strong verdicts × 3)"),
    )

    @cached_property
    def _question(self) -> Question:
        return Question("arena_hard", "question", "answer_a", "answer_b")

    def rows(self, source: Source, limit: int | None = None, seed: int = 0) -> list[Row]:
        """See `Benchmark`."""
        answers = {_id(fields): _answer(fields) for fields in source.records(ANSWERS)} if source.holds(ANSWERS) else {}
        rows = []
        for fields in source.records(DATA):
            turns = fields.get("turns") or [{"content": fields.get("prompt")}]
            about: dict[str, Any] = {"cluster": text_in(fields, "cluster")}
            about |= {OPPONENT: answers[_id(fields)]} if answers.get(_id(fields)) else {}
            rows.append(Row(_id(fields), [{"role": "user", "content": str(turns[0]["content"])}], about))
        return chosen(rows, limit, seed)

    async def grade(self, row: Row, response: Response, graders: Graders) -> Grade:
        """See `Benchmark`."""
        opponent = row.metadata.get(OPPONENT)
        if opponent is None or graders.judge is None:
            unmatched = ITSELF if AGAINST in row.metadata else NO_OPPONENT
            return Grade(missing={"win_rate": NO_JUDGE if graders.judge is None else unmatched})
        asked = str(row.messages[-1]["content"])
        replies = await both_orders(
            graders.judge,
            lambda a, b: self._question.messages(question=asked, answer_a=a, answer_b=b),
            response.text,
            opponent,
            JUDGE_TOKENS,
            logprobs=False,
        )
        verdicts = [read_verdict(said.text) for said in replies]
        details = {"verdicts": verdicts, "judge": [said.text for said in replies]}
        if None in verdicts:
            unread = next(said for said, verdict in zip(replies, verdicts, strict=True) if verdict is None)
            return Grade(missing={"win_rate": unread.unread("the judge gave no verdict")}, details=details)
        as_a, as_b = (VERDICTS[str(verdict)] for verdict in verdicts)
        weights = [STRONG if strong else 1.0 for _, strong in (as_a, as_b)]
        share = (weights[0] * as_a[0] + weights[1] * (1.0 - as_b[0])) / sum(weights)
        return Grade({"win_rate": share}, {}, details)

    def summary(self, rows: Sequence[Row], grades: Mapping[str, Grade]) -> Summary:
        """See `Benchmark`; the number is the Bradley–Terry win rate, its interval a bootstrap over questions."""
        found = averaged(self.columns, rows, grades)
        games = []
        for id in found.values.get("win_rate", {}):
            as_a, as_b = grades[id].details["verdicts"]
            games += [Judgement(id, _MODEL, _BASELINE, as_a), Judgement(id, _BASELINE, _MODEL, as_b)]
        if not games:
            return found
        value, low, high = win_rates(games, _BASELINE)[_MODEL]
        estimate = Estimate(value, (high - low) / 2 / _Z, low, high, len(found.values["win_rate"]))
        return msgspec.structs.replace(found, estimates={"win_rate": estimate})


def _id(fields: Mapping[str, Any]) -> str:
    return text_in(fields, "question_id", "uid")


def _answer(fields: Mapping[str, Any]) -> str:
    """An answer in either of the two published layouts."""
    if fields.get("choices"):
        return str(fields["choices"][0]["turns"][0]["content"])
    content = fields["messages"][-1]["content"]
    return str(content["answer"] if isinstance(content, Mapping) else content)
