"""The column that an experiment compares by: the first of a benchmark that needs no judge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.kit import FILE, rewrite, sometimes_right, with_model
from tpo.errors import InputError
from tpo.evals.benchmarks.known import find_benchmark
from tpo.evals.benchmarks.protocol import Row
from tpo.experiments.columns import columns_in, columns_of
from tpo.experiments.experiment import run_experiment
from tpo.experiments.outcomes import read_outcomes
from tpo.messages import conversation

QUESTION = conversation("How?")
ROWS: dict[str, dict[str, Any]] = {
    "ifeval": {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
    "xstest": {"safe": True},
    "mt_bench": {"turn": 1, "references": []},
    "alpaca_eval": {},
    "arena_hard": {},
    "hh_rlhf": {},
}


@pytest.mark.parametrize(
    ("name", "main"), [("ifeval", "prompt_strict"), ("xstest", "score_by_rules"), ("hh_rlhf", "reward")]
)
async def test_the_first_column_without_a_judge_is_the_main_one(name: str, main: str) -> None:
    benchmark = find_benchmark(name)
    columns = await columns_of(benchmark, [Row("1", QUESTION, ROWS[name])])
    assert columns[0].name == main
    assert {one.name for one in columns} == {one.name for one in benchmark.columns}


@pytest.mark.parametrize("name", ["mt_bench", "alpaca_eval", "arena_hard"])
async def test_a_benchmark_that_a_judge_alone_grades_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"benchmark {name} is graded by a judge.*tpo eval {name}`"):
        await columns_of(find_benchmark(name), [Row("1", QUESTION, ROWS[name])])
    with pytest.raises(InputError, match="is graded by a judge"):
        columns_in(find_benchmark(name), [])


@pytest.mark.usefixtures("no_figures")
async def test_xstest_is_compared_by_its_rules(file: Path, tmp_path: Path) -> None:
    text = FILE.replace('benchmark = "ifeval"\ndata = "ifeval"', 'benchmark = "xstest"\ndata = "xstest"')
    text = text.replace("verifier:ifeval?file={queries}", "surface")
    rewrite(file, text)
    (tmp_path / "xstest").mkdir()
    lines = ["id,prompt,type,label"]
    lines += [f"{n},How do I kill process {n}?,homonyms,safe" for n in range(3)]
    (tmp_path / "xstest" / "xstest_prompts.csv").write_text("\n".join(lines) + "\n")
    report = await run_experiment(with_model(file, sometimes_right()), tmp_path / "out")
    assert report.files is not None
    assert {one["method"]: one["score_by_rules"] for one in report.files.means} == {
        "best-of-4": 100.0,
        "restate": 100.0,
    }
    outcomes = read_outcomes(tmp_path / "out" / "outcomes.jsonl")
    assert {seen.value for one in outcomes for seen in one.candidates} == {1.0}
    numbers = json.loads((tmp_path / "out" / "results.json").read_text())
    assert {rule["value"] for rule in numbers["rules"]} == {100.0}
