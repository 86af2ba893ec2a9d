"""Experiments as a whole: what is checked, run, adopted, gone on with and reported."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from fakes import FakeModel
from tpo.cli.app import app
from tpo.errors import InputError, ModelError
from tpo.evals.benchmarks.protocol import Row
from tpo.experiments.definition import Experiment, ExperimentCell, Queries, rank_of, read_experiment
from tpo.experiments.experiment import ExperimentReport, run_experiment
from tpo.experiments.outcomes import read_outcomes
from tpo.experiments.queries import chosen_rows
from tpo.models.protocol import Request
from tpo.options import RunOptions
from tpo.runs.dataset import Watcher, run_spec

FILE = """
compare = ["best-of-4"]
bank = "best-of-4"
judge = "surface"
seeds = [1, 2]

[queries]
benchmark = "ifeval"
data = "ifeval"

[options]
reward = "verifier:ifeval?file={queries}"
max-tokens = 20

[models.small]
policy = "embedded"
parameters = "135M"

[methods.best-of-4]
method = "best-of-n"
width = 4

[methods.restate]
method = "restate"
width = 2
depth = 1
"""


ADOPT = 'adopt = ["old/{model}/{slice}/{method}-s{seed}"]\n'


def rewrite(file: Path, text: str) -> None:
    file.write_text(text)


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """As without Matplotlib: drawing takes longer than all else."""
    monkeypatch.setattr("tpo.experiments.report.find_spec", lambda name: None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An experiment over five prompts that forbid commas."""
    rows = [
        {"key": n, "prompt": f"Prompt {n}", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
        for n in range(5)
    ]
    (tmp_path / "ifeval").mkdir()
    (tmp_path / "ifeval" / "input_data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    path = tmp_path / "experiment.toml"
    path.write_text(FILE)
    return path


def sometimes_right() -> FakeModel:
    """A model of which every third answer keeps the rule, and every answer to a restated one does."""
    count = 0

    def answer(request: Request, index: int) -> str:
        nonlocal count
        count += 1
        asked = str(request.messages)
        return f"right {count}" if count % 3 == 0 or "comma" in asked else f"wrong, {count}"

    return FakeModel(answer, name="fake-1B")


def with_model(path: Path, model: FakeModel) -> Experiment:
    experiment = read_experiment(path)
    experiment.models["small"].options["policy"] = model
    return experiment


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
    text = report.files.text
    assert "rules on the bank best-of-4 (5 queries, 10 banks of 4 answers)" in text
    assert "differences from best-of-n at the same completion tokens" in text
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
async def test_the_same_call_again_pays_nothing_and_needs_no_model(
    file: Path, tmp_path: Path, no_figures: None
) -> None:
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


async def adopted(file: Path, tmp_path: Path, **options: Any) -> Path:
    """A run of the first three prompts that `tpo run` made, in a folder that names its cell."""
    experiment = with_model(file, sometimes_right())
    queries = tmp_path / "ifeval" / "input_data.jsonl"
    part = tmp_path / "part.jsonl"
    part.write_text("".join(queries.read_text().splitlines(keepends=True)[:3]))
    spec = experiment.spec(ExperimentCell("small", "restate", 1), queries)
    spec = msgspec.structs.replace(spec, **options)
    out = tmp_path / "old" / "small" / "t000" / "restate-s1"
    await run_spec(str(part), out, spec, RunOptions(column="prompt"), Watcher())
    return out


@pytest.mark.usefixtures("no_figures")
async def test_a_run_that_exists_is_adopted_and_only_the_rest_is_drawn(
    file: Path, tmp_path: Path, no_figures: None
) -> None:
    await adopted(file, tmp_path)
    rewrite(file, ADOPT + FILE)
    report = await run_experiment(with_model(file, sometimes_right()), tmp_path / "out")
    by_cell = {one.cell: one for one in report.cells}
    assert by_cell[ExperimentCell("small", "restate", 1)][1:] == (5, 5, 0, 3)
    own = tmp_path / "out" / "runs" / "small" / "restate-s1" / "answers.jsonl"
    assert own.read_text().count("\n") == 2
    assert report.files is not None
    assert "is adopted for" not in report.files.text
    assert len(read_outcomes(tmp_path / "out" / "outcomes.jsonl")) == 20


@pytest.mark.usefixtures("no_figures")
async def test_an_adopted_run_with_other_settings_is_reported(file: Path, tmp_path: Path) -> None:
    await adopted(file, tmp_path, depth=2)
    rewrite(file, ADOPT + FILE)
    report = await run_experiment(with_model(file, sometimes_right()), tmp_path / "out")
    assert report.files is not None
    assert "is adopted for small, restate, seed 1, though depth was 2 and is 1." in report.files.text


@pytest.mark.usefixtures("no_figures")
async def test_an_adopted_run_that_goes_on_is_left_out(file: Path, tmp_path: Path) -> None:
    out = await adopted(file, tmp_path)
    lines = (out / "answers.jsonl").read_bytes().splitlines(keepends=True)
    (out / "answers.jsonl").write_bytes(b"".join(lines[:-1]))
    rewrite(file, ADOPT + '[queries]\nbenchmark = "ifeval"\ndata = "ifeval"')
    report = await run_experiment(read_experiment(file), tmp_path / "out")
    assert report == ExperimentReport([], None)


@pytest.mark.usefixtures("no_figures")
async def test_outcomes_alone_make_the_same_report(file: Path, tmp_path: Path) -> None:
    first = await run_experiment(with_model(file, sometimes_right()), tmp_path / "out")
    head = 'adopt = ["out/outcomes.jsonl"]\nmaximum = 1\nnotes = ["Made by hand."]\n'
    # The data is not needed any more, nor are methods.
    tables, models = FILE.partition("[queries]")[0], '[models.small]\nparameters = "135M"\n'
    rewrite(file, f'{head}{tables}[queries]\nbenchmark = "ifeval"\n{models}')
    again = await run_experiment(read_experiment(file), tmp_path / "again")
    assert first.files is not None and again.files is not None
    assert again.files.means == first.files.means
    assert again.files.differences == first.files.differences
    assert "Made by hand." in again.files.text
    # A method that neither the file nor what it adopts has.
    rewrite(file, f'{head}{tables}[queries]\nbenchmark = "ifeval"\n{models}'.replace('["best-of-4"]', '["best-of-44"]'))
    with pytest.raises(InputError, match=r"compares with best-of-44, .* Did you mean best-of-4\?"):
        await run_experiment(read_experiment(file), tmp_path / "again")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("best-of-n", "best-of-m"), "model small, method best-of-4: There is no method 'best-of-m'"),
        (
            ("width = 4", "wdith = 4"),
            "[methods.best-of-4] sets wdith, which is not an option of a search. Did you mean width?",
        ),
        (("max-tokens = 20", "seed = 3"), "Write seeds = [1, 2] above all tables."),
        (("depth = 1", "settings = { nothing = 1 }"), "nothing"),
        (('benchmark = "ifeval"', 'benchmark = "ifevil"'), "There is no benchmark 'ifevil'"),
        (('bank = "best-of-4"', 'bank = "best"'), "compares with best, which is none of its methods"),
        (("seeds = [1, 2]", "seeds = []"), "seeds is []"),
        (("seeds = [1, 2]", 'seeds = "1"'), "docs/experiments.md"),
        (('data = "ifeval"', 'data = "nowhere"'), "nowhere"),
        (('data = "ifeval"', 'data = "ifeval"\nsplit = "tune"'), "held-out says how many"),
        (('data = "ifeval"', 'data = "ifeval"\nstart = 9'), "holds none of 5 queries"),
        (("[models.small]", '[models."../x"]'), "names a folder"),
        (('parameters = "135M"', 'parameters = "much"'), "write a count such as 135M"),
        (("compare =", "compare"), "is not TOML"),
        (('policy = "embedded"', 'policy = "embeded"'), "model small, method best-of-4: 'embeded' is not a model"),
        (('policy = "embedded"', 'policy = { a = "embedded", b = "embeded" }'), "'embeded' is not a model"),
        (('policy = "embedded"', "policy = 5"), "model small, method best-of-4: The policy is of type int"),
        (("depth = 1", "depth = 1\ncritic = [1]"), "model small, method restate: The critic is of type list"),
        (("depth = 1", "depth = 1\neditor = {}"), "model small, method restate: The editor is of type dict"),
        (('policy = "embedded"', 'policy = " "'), "model small, method best-of-4: '' is not a model"),
        (("depth = 1", "reward = 5"), "model small, method restate: "),
        (("depth = 1", 'judge = "surfce"'), "model small, method restate: The reward 'surfce' is unknown"),
        (("depth = 1", 'prompts = "nowhere"'), "model small, method restate: There is no template folder nowhere"),
        (("depth = 1", "settings = 5"), "model small, method restate: The settings are 5"),
        (("depth = 1", 'settings = ["wave=1", 5]'), "The setting 5 is not a NAME=VALUE"),
        (("depth = 1", 'reward = "surfce"'), "model small, method restate: The reward 'surfce' is unknown"),
        (("depth = 1", 'require = ["max-wrds=3"]'), "method restate: The requirement 'max-wrds=3' is unknown"),
        (('judge = "surface"', 'judge = "surfce"'), "'surfce' is unknown"),
        (("width = 4", "width = 4\nsettings = { wave = 1 }"), "is the bank, and sets wave"),
        (('bank = "best-of-4"', 'bank = "restate"'), "is the bank, and its method is restate"),
        (("seeds = [1, 2]", "maximum = nan"), "maximum is nan; it must be a number"),
        (("seeds = [1, 2]", 'adopt = ["old/{model}/{model}"]'), "has {model} twice"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_before_anything_runs(
    file: Path, tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    assert change[0] in FILE
    file.write_text(FILE.replace(*change))
    ran = CliRunner().invoke(app, ["experiment", str(file), "--out", str(tmp_path / "out")])
    assert ran.exit_code == 2
    assert message in " ".join(ran.output.split())
    assert "Traceback" not in ran.output
    assert not (tmp_path / "out" / "runs").exists()


def test_files_that_options_name_stand_beside_the_file(file: Path, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "wording").mkdir()
    (tmp_path / "wording" / "answer.user.jinja").write_text("Be brief: {{ question }}")
    (tmp_path / "rubric.txt").write_text("- It is brief.")
    (tmp_path / "small").mkdir()  # a name of a prompt set is no folder
    named = 'prompts = "wording"\nreward = "surface"\nprefer = "rubric.txt"'
    rewrite(file, FILE.replace("width = 4", f"width = 4\n{named}").replace("depth = 1", 'depth = 1\nprompts = "small"'))
    monkeypatch.chdir(file.parent.parent)
    experiment = read_experiment(file)
    cell = experiment.spec(ExperimentCell("small", "best-of-4", 1), tmp_path / "queries.jsonl")
    assert cell.prompts.name.startswith("wording@")
    assert cell.reward == f"prefer:{tmp_path / 'rubric.txt'}?judge=embedded"
    other = experiment.spec(ExperimentCell("small", "restate", 1), tmp_path / "queries.jsonl")
    assert other.prompts.name.startswith("small@")


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


def test_a_split_is_a_rule_that_a_larger_limit_keeps() -> None:
    rows = [Row(str(n), []) for n in range(20)]
    held_out = chosen_rows(rows, Queries(benchmark="x", split="held-out", held_out=5))
    tune = chosen_rows(rows, Queries(benchmark="x", split="tune", held_out=5))
    assert len(held_out) == 5 and len(tune) == 15
    assert {row.id for row in held_out}.isdisjoint(row.id for row in tune)
    assert max(rank_of("tpo-", row.id) for row in held_out) < min(rank_of("tpo-", row.id) for row in tune)
    part = Queries(benchmark="x", split="tune", held_out=5, start=2, limit=4)
    assert chosen_rows(list(reversed(rows)), part) == tune[2:6]


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
