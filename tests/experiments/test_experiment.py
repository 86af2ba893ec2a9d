"""Experiments as a whole: run, continued and reported."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from experiments.kit import FILE, rewrite, sometimes_right, with_model
from fakes import FakeModel
from tpo.cli.app import app
from tpo.errors import InputError, ModelError
from tpo.experiments.definition import ExperimentCell, read_experiment
from tpo.experiments.experiment import run_experiment
from tpo.experiments.outcomes import read_outcomes
from tpo.models.protocol import Request


async def test_cells_are_run_graded_and_compared(file: Path, tmp_path: Path) -> None:
    model = sometimes_right()
    report = await run_experiment(with_model(file, model), tmp_path / "out")
    assert report.files is not None
    assert [(one.done, one.left, one.failed) for one in report.cells] == [(5, 0, 0)] * 4
    assert report.cells[0].cell == ExperimentCell("small", "best-of-4", 1)
    means = {one["method"]: one for one in report.files.means}
    outcomes = read_outcomes(tmp_path / "out" / "outcomes.jsonl")
    assert len(outcomes) == 20
    best = [one for one in outcomes if one.method == "best-of-4"]
    assert means["best-of-4"]["prompt_strict"] == pytest.approx(
        100 * sum(one.values["prompt_strict"] for one in best) / len(best)
    )
    assert means["best-of-4"]["completion_tokens"] == sum(one.completion for one in best) / len(best)
    assert all(len(one.candidates) == 4 and one.stages == 1 for one in best)
    assert all(seen.judge is not None for one in best for seen in one.candidates)
    # The held-out judge stands beside the reward: of the answers, and above the first samples.
    scored = [one.judge for one in best if one.judge is not None]
    assert means["best-of-4"]["judge"] == pytest.approx(sum(scored) / len(best))
    assert means["best-of-4"]["judge_gain"] == pytest.approx(
        sum(one.judge - one.first.judge for one in best if one.judge and one.first.judge) / len(best)
    )
    text = report.files.text
    assert "| judge (gain) |" in text and "The judge is held out" in text
    assert "rules on the bank best-of-4 (5 queries, 10 banks of 4 answers)" in text
    assert "differences at the same completion tokens" in text
    with (tmp_path / "out" / "rules.csv").open() as lines:
        rules = {row["rule"]: row for row in csv.DictReader(lines)}
    # Stopping at the first answer that keeps all rules loses nothing.
    assert rules["first at 1, of 4"]["value"] == rules["best of 4"]["value"]
    assert float(rules["first at 1, of 4"]["completion_tokens"]) < float(rules["best of 4"]["completion_tokens"])
    with (tmp_path / "out" / "proposals.csv").open() as lines:
        (later,) = [row for row in csv.DictReader(lines) if row["measure"] == "IFEval"]
    # Each answer to a restated rule keeps it; of fresh samples a third does.
    assert (later["method"], float(later["later"])) == ("restate", 1)
    assert 0 < float(later["fresh"]) < 0.8
    assert float(later["difference"]) == pytest.approx(1 - float(later["fresh"]))
    assert int(later["queries"]) == len({one.query for one in outcomes if one.candidates[-1].step > 0})
    for plot in ("pareto", "by-seconds", "by-step", "length", "over-optimisation", "wins"):
        assert (tmp_path / "out" / "figures" / f"{plot}-small.svg").read_text().startswith("<?xml")
        assert (tmp_path / "out" / "figures" / f"{plot}-small.csv").read_text().count("\n") > 1


@pytest.mark.usefixtures("no_figures")
async def test_the_answer_is_known_among_candidates_with_its_reward_and_length(file: Path, tmp_path: Path) -> None:
    majority = '[methods.majority]\nmethod = "best-of-n"\nwidth = 4\nselect = "majority:1"\nreward = "surface"\n'
    rewrite(file, FILE.partition("[methods.restate]")[0] + majority)
    drawn: Counter[str] = Counter()

    def answer(request: Request, index: int) -> str:
        drawn[str(request.messages)] += 1
        return f"Answer: {4 if drawn[str(request.messages)] % 4 == 1 else 5}"

    await run_experiment(with_model(file, FakeModel(answer, name="fake-1B")), tmp_path / "out")
    outcomes = read_outcomes(tmp_path / "out" / "outcomes.jsonl")
    assert {(one.method, one.chosen) for one in outcomes} == {("best-of-4", 0), ("majority", 1)}


@pytest.mark.usefixtures("no_figures")
async def test_the_same_call_again_pays_nothing_and_needs_no_model(file: Path, tmp_path: Path) -> None:
    first = await run_experiment(with_model(file, sometimes_right()), tmp_path / "out")
    again = sometimes_right()
    second = await run_experiment(with_model(file, again), tmp_path / "out")
    assert again.requests == []
    assert first.files is not None and second.files is not None
    assert first.files.means == second.files.means


@pytest.mark.usefixtures("no_figures")
async def test_an_experiment_that_was_broken_off_goes_on(file: Path, tmp_path: Path) -> None:
    whole, half = tmp_path / "whole", tmp_path / "half"
    await run_experiment(with_model(file, sometimes_right()), whole)
    await run_experiment(with_model(file, sometimes_right()), half)
    # As after a kill: one cell never began, another has lost the end of its journal and two answers.
    for path in (half / "runs" / "small" / "restate-s2").iterdir():
        path.unlink()
    cut = half / "runs" / "small" / "restate-s1"
    for name in ("journal.jsonl", "answers.jsonl"):
        lines = (cut / name).read_bytes().splitlines(keepends=True)
        (cut / name).write_bytes(b"".join(lines[:2]))
    model = sometimes_right()
    waiting = await run_experiment(with_model(file, model), half, runs=False)
    assert sum(one.left for one in waiting.cells) == 8
    assert waiting.files is not None
    assert "Not finished, and left out: small, restate, seed 1; small, restate, seed 2." in waiting.files.text
    assert model.requests == []
    after = await run_experiment(with_model(file, model), half)
    assert [one.left for one in after.cells] == [0] * 4
    assert model.requests


@pytest.mark.usefixtures("no_figures")
async def test_failed_queries_are_tried_again_where_that_is_wanted(file: Path, tmp_path: Path) -> None:
    model = sometimes_right()
    broken = FakeModel(lambda r, i: ModelError("too long") if "Prompt 3" in str(r.messages) else model.answer(r, i))
    first = await run_experiment(with_model(file, broken), tmp_path / "out")
    assert [(one.done, one.failed) for one in first.cells] == [(4, 1)] * 4
    assert first.failed == 4
    requests = len(broken.requests)
    again = await run_experiment(with_model(file, broken), tmp_path / "out")
    assert (again.failed, len(broken.requests)) == (4, requests)
    broken.answer = model.answer
    mended = await run_experiment(with_model(file, broken), tmp_path / "out", retry_failed=True)
    assert [(one.done, one.failed) for one in mended.cells] == [(5, 0)] * 4
    assert all("Prompt 3" in str(request.messages) for request in broken.requests[requests:])


@pytest.mark.usefixtures("no_figures")
async def test_a_larger_limit_draws_what_is_missing_and_other_queries_are_refused(file: Path, tmp_path: Path) -> None:
    def part(more: str) -> str:
        return FILE.replace('data = "ifeval"', f'data = "ifeval"\n{more}')

    rewrite(file, part("limit = 2"))
    first = sometimes_right()
    await run_experiment(with_model(file, first), tmp_path / "out")
    rewrite(file, part("limit = 5"))
    second = sometimes_right()
    report = await run_experiment(with_model(file, second), tmp_path / "out")
    assert [one.done for one in report.cells] == [5] * 4
    # Prompts 0 and 1 were drawn before.
    assert {text for request in second.requests for text in re.findall(r"Prompt \d", str(request.messages))} == {
        "Prompt 2",
        "Prompt 3",
        "Prompt 4",
    }
    rewrite(file, part("start = 1"))
    with pytest.raises(InputError, match="holds an experiment with other queries"):
        await run_experiment(with_model(file, sometimes_right()), tmp_path / "out")


@pytest.mark.usefixtures("no_figures")
async def test_a_cell_with_other_settings_is_refused(file: Path, tmp_path: Path) -> None:
    await run_experiment(with_model(file, sometimes_right()), tmp_path / "out")
    rewrite(file, FILE.replace("width = 4", "width = 3"))
    with pytest.raises(InputError, match="width was 4 and is 3"):
        await run_experiment(with_model(file, sometimes_right()), tmp_path / "out")


@pytest.mark.usefixtures("no_figures")
async def test_a_smaller_model_is_held_against_a_larger_one(file: Path, tmp_path: Path) -> None:
    rewrite(file, FILE + '[models.large]\npolicy = "embedded"\nparameters = "1.5B"\n')
    experiment = with_model(file, sometimes_right())
    experiment.models["large"].options["policy"] = FakeModel(lambda request, index: "wrong, always", name="large")
    report = await run_experiment(experiment, tmp_path / "out")
    assert report.files is not None
    (found,) = [
        one for one in report.files.differences if one["kind"] == "across models" and one["method"] == "small, restate"
    ]
    # The small one keeps the rule each time after it was restated, the large one never.
    assert (found["against"], found["difference"], found["queries"]) == ("large, plain", 100, 5)


def test_json_has_cells_and_means(file: Path, tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["experiment", str(file), "--out", str(tmp_path / "out"), "--report-only", "--json"])
    found = json.loads(ran.stdout)
    assert found["report"] is None
    assert [one["left"] for one in found["cells"]] == [5] * 4


REWARDED = """
compare = ["sample", "two"]
[queries]
data = "questions.jsonl"
[options]
policy = "embedded"
reward = "surface"
check = false
[models.small]
policy = "embedded"
[methods.sample]
method = "sample"
[methods.two]
method = "best-of-n"
width = 2
[methods.four]
method = "best-of-n"
width = 4
"""


@pytest.mark.usefixtures("no_figures")
async def test_methods_without_a_reward_and_queries_without_one_are_left_out_of_pairs(tmp_path: Path) -> None:
    (tmp_path / "questions.jsonl").write_text("".join(f'{{"prompt": "Prompt {n}"}}\n' for n in range(4)))
    rewrite(tmp_path / "experiment.toml", REWARDED)
    experiment = with_model(tmp_path / "experiment.toml", sometimes_right())
    first = await run_experiment(experiment, tmp_path / "out")
    assert first.files is not None
    assert "small: sample has no reward, and is left out of tables and figures." in first.files.text
    assert {one["method"] for one in first.files.means} == {"two", "four"}
    # One query lost its reward with one method: it is left out of both, and the others stay paired.
    path = tmp_path / "out" / "outcomes.jsonl"
    outcomes = read_outcomes(path)
    lost = next(one for one in outcomes if one.method == "four")
    changed = [msgspec.structs.replace(one, reward=None) if one is lost else one for one in outcomes]
    path.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in changed))
    rewrite(tmp_path / "experiment.toml", 'adopt = ["out/outcomes.jsonl"]\ncompare = ["two"]\n')
    again = await run_experiment(read_experiment(tmp_path / "experiment.toml"), tmp_path / "again")
    assert again.files is not None
    (gap,) = again.files.differences
    kept = {one.query for one in outcomes} - {lost.query}
    rewards = {
        label: [next(one.reward or 0.0 for one in outcomes if (one.method, one.query) == (label, q)) for q in kept]
        for label in ("four", "two")
    }
    assert gap["queries"] == 3
    assert gap["difference"] == pytest.approx(sum(rewards["four"]) / 3 - sum(rewards["two"]) / 3)


async def test_the_judge_finds_the_file_with_all_queries(file: Path, tmp_path: Path) -> None:
    rewrite(file, FILE.replace('judge = "surface"', 'judge = "verifier:ifeval?mode=loose&file={queries}"'))
    await run_experiment(with_model(file, sometimes_right()), tmp_path / "out")
    seen = [one for query in read_outcomes(tmp_path / "out" / "outcomes.jsonl") for one in query.candidates]
    assert {one.judge for one in seen} == {0.0, 1.0}
