"""Arena-Hard v0.1: win rate against a baseline, by a judge that explains itself.

Li et al. (2024, arXiv 2406.11939). A judge sees each pair of answers in both orders and gives one of five verdicts; in
version 0.1 a strong one counts three times. Strengths are Bradley and Terry's, by maximum likelihood, with a tie as
half a game won and half lost.
"""

from __future__ import annotations

import html
import math
import random
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import msgspec

from tpo.errors import InputError
from tpo.evals.benchmarks.pairs import AGAINST, ITSELF, OPPONENT, both_orders
from tpo.evals.benchmarks.protocol import NO_JUDGE, Benchmark, Column, Grade, Graders, Response, Row, Summary, averaged
from tpo.evals.data import QUERIES, Published, Source, chosen, text_in
from tpo.evals.questions import Question
from tpo.rewards.judges.bradley_terry import Chosen, match, strengths
from tpo.stats import Estimate

# What a verdict is worth to the answer shown as A, and whether it is a strong one.
VERDICTS = {"A>>B": (1.0, True), "A>B": (1.0, False), "A=B": (0.5, False), "B>A": (0.0, False), "B>>A": (0.0, True)}
STRONG = 3.0

# Almost maximum likelihood: it keeps those finite who won or lost every game.
_PRIOR = 1e-6
_BRACKETED = re.compile(r"\\?\[\\?\[\s*([^\[\]]{1,24}?)\s*\\?\]\\?\]")
_LABEL = re.compile(r"([AB])(>{1,2}|<{1,2}|=)([AB])")


class ArenaVerdict(NamedTuple):
    """A verdict on two answers to a question.

    Attributes:
        question: which one.
        first: the model whose answer was shown as A.
        second: the model whose answer was shown as B.
        verdict: one of `VERDICTS`.
    """

    question: str
    first: str
    second: str
    verdict: str


class WinRate(NamedTuple):
    """How often a model beats the baseline.

    Attributes:
        value: the win rate, in percent; 50 for the baseline.
        low: where its 95 % bootstrap interval begins.
        high: where it ends.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.1f} [{self.low:.1f}, {self.high:.1f}]"


def read_verdict(reply: str) -> str | None:
    """The verdict in a judge's reply, such as "[[A>B]]".

    Args:
        reply: what the judge wrote. Spaces, Markdown's backslashes, entities and the other way to write the same
            ("B<A") are understood.

    Returns:
        One of `VERDICTS`; None where there is none, or where there are different ones and the last line with one does
        not decide.
    """
    by_line = [found for line in reply.splitlines() if (found := _verdicts_in(line))]
    every = set[str]().union(*by_line)
    if len(every) > 1:
        every = by_line[-1]
    return every.pop() if len(every) == 1 else None


def _verdicts_in(line: str) -> set[str]:
    return {label for found in _BRACKETED.findall(html.unescape(line)) if (label := _label(found))}


def _label(text: str) -> str | None:
    plain = re.sub(r"[\s\\*_`]", "", text).replace("≫", ">>").replace("≪", "<<").upper()
    found = _LABEL.fullmatch(plain)
    if found is None or found[1] == found[3]:
        return None
    left, sign, right = found.groups()
    if sign == "=":
        return "A=B"
    return f"{right}{sign.replace('<', '>')}{left}" if sign.startswith("<") else f"{left}{sign}{right}"


def scores(judgements: Sequence[ArenaVerdict], strong: float = STRONG) -> dict[str, float]:
    """The Bradley–Terry score of each model, in log-odds; a difference of 0 means even chances.

    Args:
        judgements: verdicts that tie all models together, directly or over others.
        strong: how much a strong verdict counts; 1 for as much as any other.

    Raises:
        InputError: there is no verdict, one is unknown, or a model meets itself.
    """
    names = _names(judgements)
    number = {name: place for place, name in enumerate(names)}
    games = [game for one in judgements for game in _games(one, number, strong)]
    return dict(zip(names, strengths(len(names), games, _PRIOR), strict=True))


def win_rates(
    judgements: Sequence[ArenaVerdict], baseline: str, *, strong: float = STRONG, rounds: int = 100, seed: int = 0
) -> dict[str, WinRate]:
    """The chance of each model to beat the baseline, by its Bradley–Terry score.

    Args:
        judgements: verdicts, with position swap: two for each pair of answers.
        baseline: the model that all are compared with; 50 % by definition.
        strong: how much a strong verdict counts.
        rounds: of the bootstrap. Whole questions are drawn, so that the two verdicts on a pair stay together.
        seed: of the bootstrap.

    Raises:
        InputError: the baseline has no verdict, there are no rounds, or `scores` cannot be computed.
    """
    names = _names(judgements)
    if baseline not in names:
        raise InputError(f"The baseline {baseline!r} has no verdict; judged were {', '.join(names)}.")
    if rounds < 1:
        raise InputError(f"The bootstrap has {rounds} rounds: give at least one.")
    number = {name: place for place, name in enumerate(names)}
    questions: dict[str, list[Chosen]] = {}
    for one in judgements:
        questions.setdefault(one.question, []).extend(_games(one, number, strong))
    groups = [questions[question] for question in sorted(questions)]
    found = _chances(groups, len(names), number[baseline])
    draw = random.Random(seed)
    drawn = [_chances(draw.choices(groups, k=len(groups)), len(names), number[baseline]) for _ in range(rounds)]
    return {name: _with_interval(found[place], [one[place] for one in drawn]) for name, place in number.items()}


def _names(judgements: Sequence[ArenaVerdict]) -> list[str]:
    if not judgements:
        raise InputError("There is no verdict to score: give at least one.")
    for one in judgements:
        if one.verdict not in VERDICTS:
            raise InputError(
                f"The verdict {one.verdict!r} on question {one.question} is unknown; it is one of "
                f"{', '.join(VERDICTS)}. Leave out what could not be read."
            )
        if one.first == one.second:
            raise InputError(f"On question {one.question} the model {one.first} meets itself.")
    return sorted({name for one in judgements for name in (one.first, one.second)})


def _games(one: ArenaVerdict, number: dict[str, int], strong: float) -> list[Chosen]:
    won, weight = VERDICTS[one.verdict][0], _weight(one.verdict, strong)
    return [
        Chosen(best, among, part * weight)
        for best, among, part in match(number[one.first], number[one.second], won)
        if part > 0
    ]


def _weight(verdict: str, strong: float = STRONG) -> float:
    return strong if VERDICTS[verdict][1] else 1.0


def _chances(groups: Sequence[Sequence[Chosen]], count: int, baseline: int) -> list[float]:
    values = strengths(count, [game for group in groups for game in group], _PRIOR)
    return [100 / (1 + math.exp(min(values[baseline] - value, 700.0))) for value in values]


def _with_interval(value: float, drawn: list[float]) -> WinRate:
    ordered = sorted(drawn)
    return WinRate(value, _quantile(ordered, 0.025), _quantile(ordered, 0.975))


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


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
        question = str(row.messages[-1]["content"])
        replies = await both_orders(
            graders.judge,
            lambda a, b: self._question.messages(question=question, answer_a=a, answer_b=b),
            response.text,
            opponent,
            JUDGE_TOKENS,
            logprobs=False,
        )
        verdicts = [read_verdict(reply.text) for reply in replies]
        details = {"verdicts": verdicts, "judge": [reply.text for reply in replies]}
        if None in verdicts:
            unread = next(reply for reply, verdict in zip(replies, verdicts, strict=True) if verdict is None)
            return Grade(missing={"win_rate": unread.unread("the judge gave no verdict")}, details=details)
        as_a, as_b = map(str, verdicts)
        won = _weight(as_a) * VERDICTS[as_a][0] + _weight(as_b) * (1.0 - VERDICTS[as_b][0])
        share = won / (_weight(as_a) + _weight(as_b))
        return Grade({"win_rate": share}, {}, details)

    def summary(self, rows: Sequence[Row], grades: Mapping[str, Grade]) -> Summary:
        """See `Benchmark`; the number is the Bradley–Terry win rate, its interval a bootstrap over questions."""
        found = averaged(self.columns, rows, grades)
        games, weights = [], {}
        for id in found.values.get("win_rate", {}):
            as_a, as_b = grades[id].details["verdicts"]
            weights[id] = _weight(as_a) + _weight(as_b)
            games += [ArenaVerdict(id, _MODEL, _BASELINE, as_a), ArenaVerdict(id, _BASELINE, _MODEL, as_b)]
        if not games:
            return found
        value, low, high = win_rates(games, _BASELINE)[_MODEL]
        estimate = Estimate(value, (high - low) / 2 / _Z, low, high, len(found.values["win_rate"]))
        # Against the baseline alone, the win rate is the weighted share of games won.
        return msgspec.structs.replace(found, estimates={"win_rate": estimate}, weights={"win_rate": weights})


def _id(fields: Mapping[str, Any]) -> str:
    return text_in(fields, "question_id", "uid")


def _answer(fields: Mapping[str, Any]) -> str:
    """An answer in either of the two published layouts."""
    if fields.get("choices"):
        return str(fields["choices"][0]["turns"][0]["content"])
    content = fields["messages"][-1]["content"]
    return str(content["answer"] if isinstance(content, Mapping) else content)
