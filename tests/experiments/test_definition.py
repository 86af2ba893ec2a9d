"""The file of an experiment: what is checked before anything runs, where its paths start, which queries it means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from experiments.kit import FILE, rewrite
from tpo.cli.app import app
from tpo.evals.benchmarks.protocol import Row
from tpo.experiments.definition import ExperimentCell, Queries, rank_of, read_experiment
from tpo.experiments.experiment import _maximum
from tpo.experiments.queries import chosen_rows


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
        (("depth = 1", 'prompts = "nowhere"'), "model small, method restate: The prompts 'nowhere' are no folder"),
        (("depth = 1", "settings = 5"), "model small, method restate: The settings are 5"),
        (("depth = 1", 'settings = ["wave=1", 5]'), "The setting 5 is not a NAME=VALUE"),
        (("depth = 1", 'reward = "surfce"'), "model small, method restate: The reward 'surfce' is unknown"),
        (("depth = 1", 'require = ["max-wrds=3"]'), "method restate: The requirement 'max-wrds=3' is unknown"),
        (('judge = "surface"', 'judge = "surfce"'), "'surfce' is unknown"),
        (("width = 4", "width = 4\nsettings = { wave = 1 }"), "is the bank, and sets wave"),
        (("width = 4", "width = 4\nquorum = 2"), "is the bank, and sets quorum"),
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


@pytest.mark.parametrize(
    ("change", "maximum"),
    [
        (("", ""), 1.0),
        (('reward = "verifier:ifeval?file={queries}"', ""), None),
        # A rule before the reward changes its scale.
        (("depth = 1", 'depth = 1\nrequire = ["max-words=80"]'), None),
        (("depth = 1", 'depth = 1\nreward = "surface"'), None),
        (("seeds = [1, 2]", "maximum = 7"), 7.0),
    ],
)
def test_the_largest_reward_is_known_where_verifiers_alone_steer(
    file: Path, change: tuple[str, str], maximum: float | None
) -> None:
    rewrite(file, FILE.replace(*change))
    assert _maximum(read_experiment(file), file.parent, []) == maximum


def test_files_that_options_name_stand_beside_the_file(file: Path, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "wording").mkdir()
    (tmp_path / "wording" / "answer.user.jinja").write_text("Be brief: {{ question }}")
    (tmp_path / "rubric.txt").write_text("- It is brief.")
    (tmp_path / "small").mkdir()  # a name of a prompt set is no folder
    named = 'prompts = "wording"\nprefer = "rubric.txt"'
    rewrite(file, FILE.replace("width = 4", f"width = 4\n{named}").replace("depth = 1", 'depth = 1\nprompts = "small"'))
    monkeypatch.chdir(file.parent.parent)
    experiment = read_experiment(file)
    cell = experiment.spec(ExperimentCell("small", "best-of-4", 1), tmp_path / "queries.jsonl")
    assert cell.prompts.name.startswith("wording@")
    assert cell.reward == f"prefer:{tmp_path / 'rubric.txt'}?judge=embedded"
    other = experiment.spec(ExperimentCell("small", "restate", 1), tmp_path / "queries.jsonl")
    # A method's preference takes the place of the reward that all others have.
    assert str(other.reward).startswith("verifier:ifeval")
    assert other.prompts.name.startswith("small@")


def test_a_split_is_a_rule_that_a_larger_limit_keeps() -> None:
    rows = [Row(str(n), []) for n in range(20)]
    held_out = chosen_rows(rows, Queries(benchmark="x", split="held-out", held_out=5))
    tune = chosen_rows(rows, Queries(benchmark="x", split="tune", held_out=5))
    assert len(held_out) == 5 and len(tune) == 15
    assert {row.id for row in held_out}.isdisjoint(row.id for row in tune)
    assert max(rank_of("tpo-", row.id) for row in held_out) < min(rank_of("tpo-", row.id) for row in tune)
    part = Queries(benchmark="x", split="tune", held_out=5, start=2, limit=4)
    assert chosen_rows(list(reversed(rows)), part) == tune[2:6]
