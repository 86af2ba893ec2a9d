"""What an experiment adopts: runs that exist already, and outcomes of earlier experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from experiments.kit import FILE, rewrite, sometimes_right, with_model
from tpo.errors import InputError, ModelError
from tpo.experiments.definition import ExperimentCell, read_experiment
from tpo.experiments.experiment import ExperimentReport, run_experiment
from tpo.experiments.outcomes import read_outcomes
from tpo.options import RunOptions
from tpo.runs.dataset import Watcher, run_spec

ADOPT = 'adopt = ["old/{model}/{slice}/{method}-s{seed}"]\n'


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
async def test_a_run_that_exists_is_adopted_and_only_the_rest_is_drawn(file: Path, tmp_path: Path) -> None:
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
async def test_a_query_that_is_adopted_and_drawn_counts_once(file: Path, tmp_path: Path) -> None:
    one_cell = FILE.replace("seeds = [1, 2]", "").replace('bank = "best-of-4"\njudge = "surface"', "")
    one_cell = one_cell.replace('[methods.best-of-4]\nmethod = "best-of-n"\nwidth = 4\n', "")
    one_cell = one_cell.replace('compare = ["best-of-4"]', "")
    rewrite(file, one_cell)
    model = sometimes_right()
    model.answer, right = (
        lambda r, i: ModelError("too long") if "Prompt 1" in str(r.messages) else "right",
        model.answer,
    )
    first = await run_experiment(with_model(file, model), tmp_path / "out")
    assert first.cells[0][1:] == (5, 4, 1, 0)
    # What failed is in the adopted run, beside two others that were drawn here as well.
    rewrite(file, FILE)
    await adopted(file, tmp_path)
    rewrite(file, ADOPT + one_cell)
    model.answer = right
    again = await run_experiment(with_model(file, model), tmp_path / "out")
    assert again.cells[0][1:] == (5, 5, 0, 1)
    path = tmp_path / "out" / "outcomes.jsonl"
    assert len(read_outcomes(path)) == 5
    # The own run is in progress: what ended soon is left out, what is adopted stays.
    answers = tmp_path / "out" / "runs" / "small" / "restate-s1" / "answers.jsonl"
    lines = [line for line in answers.read_bytes().splitlines(keepends=True) if b'"id":"3"' not in line]
    answers.write_bytes(b"".join(lines))
    cut = await run_experiment(with_model(file, model), tmp_path / "out", runs=False)
    assert cut.files is not None
    assert "Not finished, and left out: small, restate, seed 1, but for what is adopted." in cut.files.text
    assert len(read_outcomes(path)) == 3


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


async def test_methods_without_a_common_query_still_have_a_report(file: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    await run_experiment(with_model(file, sometimes_right()), tmp_path / "out")
    path = tmp_path / "out" / "outcomes.jsonl"
    outcomes = read_outcomes(path)
    first = min(one.query for one in outcomes)
    apart = [one for one in outcomes if (one.query == first) == (one.method == "restate")]
    path.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in apart))
    tables = FILE.partition("[queries]")[0]
    rewrite(file, f'adopt = ["out/outcomes.jsonl"]\nmaximum = 1\n{tables}[queries]\nbenchmark = "ifeval"\n')
    again = await run_experiment(read_experiment(file), tmp_path / "again")
    assert again.files is not None
    assert again.files.means == []
    assert again.files.differences == []
    assert "rules on the bank best-of-4 (4 queries" in again.files.text
