"""The difference from the plain policy belongs to the numbers shown, also where these are no means over queries."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from evals.judges import FakeJudge
from tpo.evals.benchmarks import Benchmark, Grade, Graders, Response, Row, Summary, find_benchmark
from tpo.evals.benchmarks.pairs import OPPONENT
from tpo.evals.evaluation import Graded, GradedQuery, differences
from tpo.stats import Estimate


def of(summary: Summary, grades: dict[str, Grade]) -> Graded:
    """The summary as an evaluation keeps it."""
    queries = [GradedQuery(id, grade) for id, grade in grades.items()]
    found = (summary.estimates, summary.values, summary.missing, summary.unread, queries, summary.weights)
    return Graded("task", "method", None, None, *found)


async def graded(benchmark: Benchmark, rows: Sequence[Row], answers: dict[str, str], graders: Graders) -> Graded:
    grades = {
        row.id: await benchmark.grade(row, Response(answers[row.id]), graders) for row in rows if row.id in answers
    }
    return of(benchmark.summary(rows, grades), grades)


def compared(benchmark: Benchmark, ours: Graded, plain: Graded) -> tuple[dict[str, Estimate], dict[str, float]]:
    return differences({column.name: column for column in benchmark.columns}, ours, plain)


VERDICTS = {  # by answer, where it stands first and where it stands second
    "strong": ("[[A>>B]]", "[[B>>A]]"),
    "weak": ("[[B>A]]", "[[A>B]]"),
    "tie": ("[[A=B]]", "[[A=B]]"),
}


def verdict(text: str) -> str:
    word = next(word for word in VERDICTS if word in text)
    return VERDICTS[word][text.index(word) > text.index("BASELINE")]


async def test_strong_verdicts_of_arena_hard_count_as_much_in_the_difference() -> None:
    benchmark = find_benchmark("arena_hard")
    rows = [Row(str(n), [{"role": "user", "content": f"Why {n}?"}], {OPPONENT: "the BASELINE"}) for n in range(20)]
    graders = Graders(FakeJudge(verdict))
    ours = await graded(benchmark, rows, {row.id: "strong" if int(row.id) < 10 else "weak" for row in rows}, graders)
    plain = await graded(benchmark, rows, {row.id: "tie" for row in rows}, graders)
    assert ours.numbers["win_rate"].value == pytest.approx(75)
    assert plain.numbers["win_rate"].value == pytest.approx(50)
    gaps, p_values = compared(benchmark, ours, plain)
    gap = gaps["win_rate"]
    assert gap.value == pytest.approx(25)
    # The plain policy is at 50 whatever the questions, so the interval is that of the method's own win rate, but for
    # the rounds: one question more or less that is won moves an end by 6.25.
    own = ours.numbers["win_rate"]
    assert own.low is not None and own.high is not None
    assert [gap.low, gap.high] == pytest.approx([own.low - 50, own.high - 50], abs=6.3)
    assert 0.001 < p_values["win_rate"] < 0.2
    assert compared(benchmark, ours, plain) == (gaps, p_values)


async def test_only_shared_questions_are_compared() -> None:
    benchmark = find_benchmark("arena_hard")
    rows = [Row(str(n), [{"role": "user", "content": f"Why {n}?"}], {OPPONENT: "the BASELINE"}) for n in range(4)]
    graders = Graders(FakeJudge(verdict))
    ours = await graded(benchmark, rows, {"0": "strong", "1": "weak", "2": "strong"}, graders)
    plain = await graded(benchmark, rows, {"0": "tie", "1": "tie", "3": "strong"}, graders)
    assert compared(benchmark, ours, plain)[0]["win_rate"].value == pytest.approx(25)


async def test_instructions_of_ifeval_count_once_each_in_the_difference() -> None:
    benchmark = find_benchmark("ifeval")
    three = ["punctuation:no_comma", "change_case:english_lowercase", "startend:quotation"]
    rows = [
        Row(
            str(n),
            [{"role": "user", "content": "?"}],
            {"instruction_id_list": ids, "kwargs": [{}] * len(ids)},
        )
        for n, ids in enumerate([three, three[:1], three[:1]])
    ]
    ours = await graded(benchmark, rows, {"0": '"all kept"', "1": "a, b", "2": "a, b"}, Graders())
    plain = await graded(benchmark, rows, {"0": "One, two", "1": "a b", "2": "a b"}, Graders())
    gaps, _ = compared(benchmark, ours, plain)
    for name, gap in gaps.items():
        assert gap.value == pytest.approx(ours.numbers[name].value - plain.numbers[name].value), name
    assert gaps["instruction_strict"].value == pytest.approx(20)


async def test_without_strong_verdicts_the_difference_is_that_of_plain_means() -> None:
    benchmark = find_benchmark("arena_hard")
    rows = [Row(str(n), [{"role": "user", "content": f"Why {n}?"}], {OPPONENT: "the BASELINE"}) for n in range(5)]
    graders = Graders(FakeJudge(verdict))
    ours = await graded(benchmark, rows, {row.id: "weak" for row in rows}, graders)
    plain = await graded(benchmark, rows, {row.id: "tie" for row in rows}, graders)
    gaps, p_values = compared(benchmark, ours, plain)
    assert gaps["win_rate"].value == pytest.approx(-50)
    assert p_values["win_rate"] == 2 / 32
