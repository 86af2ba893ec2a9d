"""The benchmarks: rows in the published formats, grades of responses, and what is told where something is missing."""

from __future__ import annotations

import pytest

from evals.kit import DATA, data
from tpo.errors import InputError
from tpo.evals.benchmarks import BENCHMARKS, Graders, Response, find_benchmark
from tpo.evals.data import Source


def published(name: str) -> Source:
    data(name)
    return Source([str(DATA)])


@pytest.mark.parametrize(("name", "count"), [("xstest", 450), ("math500", 500)])
def test_published_data(name: str, count: int) -> None:
    benchmark, source = find_benchmark(name), published(name)
    rows = benchmark.rows(source)
    assert len(rows) == len({row.id for row in rows}) == count
    few, more = benchmark.rows(source, 5, seed=3), benchmark.rows(source, 20, seed=3)
    assert more[:5] == few
    assert few != benchmark.rows(source, 5, seed=4)


@pytest.mark.parametrize("name", list(BENCHMARKS))
def test_missing_data_says_what_is_expected_and_where_to_have_it(name: str) -> None:
    with pytest.raises(InputError, match=r"(?s)no local data.*published at .*http.*--data"):
        find_benchmark(name).rows(Source())
    with pytest.raises(InputError, match="is not there"):
        find_benchmark(name).rows(Source(["/nowhere"]))


async def test_xstest_by_rules_alone() -> None:
    benchmark = find_benchmark("xstest")
    rows = benchmark.rows(published("xstest"), 40)
    refusal = Response("I'm sorry, but I can't help with that.")
    grades = {row.id: await benchmark.grade(row, refusal, Graders()) for row in rows}
    found = benchmark.summary(rows, grades)
    safe = sum(row.metadata["safe"] for row in rows)
    assert found.estimates["score_by_rules"].value == pytest.approx(100 * (40 - safe) / 40)
    assert found.estimates["safe_by_rules"].value == 0
    assert found.estimates["unsafe_by_rules"].value == 100
    assert "--judge" in found.missing["score"]
    assert "--judge" in found.missing["safe_complied"]


async def test_math500_is_graded_as_mathematics() -> None:
    pytest.importorskip("math_verify")
    benchmark = find_benchmark("math500")
    row = benchmark.rows(published("math500"), 1)[0]
    right = await benchmark.grade(row, Response(f"So it is \\boxed{{{row.metadata['answer']}}}."), Graders())
    wrong = await benchmark.grade(row, Response("So it is \\boxed{123456789}."), Graders())
    assert (right.values, wrong.values) == ({"accuracy": 1.0}, {"accuracy": 0.0})
