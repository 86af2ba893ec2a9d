"""Outcomes as numbers by query: banks with answers that have no reward, and reports of odd outcomes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tpo.evals.benchmarks.protocol import Column
from tpo.experiments.definition import Experiment, Queries
from tpo.experiments.outcomes import CandidateOutcome, QueryOutcome, read_outcomes, write_outcomes
from tpo.experiments.report import write_report
from tpo.experiments.results import ModelResults


def outcome(method: str, query: str, candidates: list[CandidateOutcome], completion: int = 10) -> QueryOutcome:
    best = max((one.reward for one in candidates if one.reward is not None), default=None)
    return QueryOutcome("m", method, 1, query, best, {}, completion, 5, 1, 1, 1.0, 40, "depth", candidates)


def test_an_answer_without_a_reward_is_no_draw_and_its_tokens_are_paid_all_the_same() -> None:
    bank = [CandidateOutcome(0, 0.2, 10, 40), CandidateOutcome(0, None, 60, 0), CandidateOutcome(0, 0.4, 20, 40)]
    results = ModelResults("m", [outcome("bank", "a", bank)], ["bank"], [], "bank", None)
    assert results.bank_size() == 2
    (draws,) = results.draws("a")
    assert [one.reward for one in draws] == [0.2, 0.4]
    assert [one.tokens for one in draws] == [40, 50]


def test_the_mark_of_a_leak_is_kept_and_old_files_without_it_are_read(tmp_path: Path) -> None:
    seen = [CandidateOutcome(0, 0.9, 10, 40, leaked=True), CandidateOutcome(0, 0.4, 20, 40)]
    path = tmp_path / "outcomes.jsonl"
    write_outcomes([outcome("bank", "a", seen)], path)
    assert [one.leaked for one in read_outcomes(path)[0].candidates] == [True, False]
    (draws,) = ModelResults("m", read_outcomes(path), ["bank"], [], "bank", None).draws("a")
    assert max(draws, key=lambda one: one.rank).reward == 0.4
    lines = path.read_bytes()
    assert lines.count(b',"",null]') == 2
    lines = lines.replace(b',null,null,true,"",null]', b",null,null]").replace(b',null,null,false,"",null]', b"]")
    path.write_bytes(lines)
    old = read_outcomes(path)[0].candidates
    assert [(one.reward, one.leaked) for one in old] == [(0.9, False), (0.4, False)]


def test_the_judge_of_the_answer_is_not_that_of_an_equal_one(tmp_path: Path) -> None:
    seen = [CandidateOutcome(0, 1.0, 10, 1, judge=judge) for judge in (0.1, 0.9, 0.9)]
    one = msgspec.structs.replace(outcome("majority", "a", seen), characters=1, chosen=1)
    assert one.judge == 0.9
    path = tmp_path / "outcomes.jsonl"
    write_outcomes([one], path)
    assert read_outcomes(path) == [one]
    path.write_bytes(path.read_bytes().replace(b',"chosen":1', b""))
    (old,) = read_outcomes(path)
    assert (old.chosen, old.judge) == (None, 0.1)


def test_a_reward_is_no_grade_where_there_is_a_benchmark() -> None:
    seen = [CandidateOutcome(0, reward, 10, 40, value) for reward, value in ((385.0, None), (380.0, 1.0), (390.0, 0.0))]
    column = Column("score", "Score", "%", "by hand")
    graded = [msgspec.structs.replace(outcome("bank", query, seen), values={"score": 0.0}) for query in ("a", "b")]
    results = ModelResults("m", graded, ["bank"], [column], "bank", None)
    assert results.bank_size() == 2
    assert [draw.value for draw in results.draws("a")[0]] == [1.0, 0.0]
    # A query that no answer has a grade for is none of the bank's.
    bare = [msgspec.structs.replace(one, value=None) for one in seen]
    unlike = msgspec.structs.replace(graded[1], candidates=bare)
    assert list(ModelResults("m", [graded[0], unlike], ["bank"], [column], "bank", None).bank) == ["a"]
    assert ModelResults("m", [graded[0]], ["bank"], [], "bank", None).draws("a")[0][0].value == 385.0


def comparison(tmp_path: Path) -> Experiment:
    return Experiment(tmp_path / "x.toml", "", Queries(), {}, {}, {}, [1], ["bank"], "bank", None, [], 1.0, [])


@pytest.mark.parametrize(
    "outcomes",
    [
        # A model that counts no tokens.
        [outcome(name, "a", [CandidateOutcome(0, r, 0, 40) for r in (0.2, 0.4)], 0) for name in ("bank", "other")],
        # Methods that have no query in common.
        [outcome(name, name, [CandidateOutcome(0, r, 9, 40) for r in (0.2, 0.4)]) for name in ("bank", "other")],
        # A bank without any reward.
        [
            outcome("bank", "a", [CandidateOutcome(0, None, 9, 40)]),
            outcome("other", "a", [CandidateOutcome(0, 1, 9, 4)]),
        ],
    ],
)
def test_odd_outcomes_have_a_report(tmp_path: Path, outcomes: list[QueryOutcome]) -> None:
    wide = msgspec.structs.replace(outcomes[-1], candidates=[*outcomes[-1].candidates] * 2)
    files = write_report(comparison(tmp_path), tmp_path / "out", [*outcomes[:-1], wide], [], 1.0, [])
    assert files.report.is_file()
