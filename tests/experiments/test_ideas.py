"""The experiments of recipes/small that try ideas, on fakes, and the numbers that decide their predictions, by hand."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

from fakes import FakeModel
from scripts import script
from tpo.candidate import Candidate
from tpo.experiments.definition import read_experiment
from tpo.experiments.experiment import run_experiment
from tpo.experiments.outcomes import read_outcomes
from tpo.methods import Pool
from tpo.models.protocol import Request

ROOT = Path(__file__).parents[2]
MISSING = "kept 1 of 3 requirements; missing: uses the word fox (it is not there); at most 20 words (it has 31)"
RULES = ["punctuation:no_comma", "change_case:english_lowercase"]


@pytest.fixture(scope="module")
def steps() -> ModuleType:
    return script("benchmarks/steps.py")


def answer(name: str, reward: float, fox: float, short: float, polite: float) -> Candidate:
    return Candidate(name, int(name[0]), f"text {name}", reward, {"fox": fox, "short": short, "polite": polite})


def test_what_a_step_mended_and_broke_by_hand(steps: ModuleType) -> None:
    pool = Pool()
    best = Candidate("0.0", 0, "best", 0.5, {"fox": 0.0, "short": 0.0, "polite": 1.0}, MISSING)
    pool.add([best, answer("0.1", 0.4, 0, 1, 0), answer("0.2", 0.0, 0, 0, 0)])
    # The nearest differs in one place only, is not short either and so names nothing: the first demand is the fox.
    fresh = [
        answer("1.0", 0.7, 1, 0, 1),
        answer("1.1", 0.3, 1, 0, 0),
        answer("1.2", 0.3, 0, 1, 0),
        answer("1.3", 0.5, 0, 0, 1),
    ]
    found = steps._step(pool, fresh, "It never uses the word fox.")
    assert found == (0.5, 0.5, True, True)
    # Without the worst one the other is the pair; it keeps the length, which is the demand then.
    short = Pool()
    short.add([best, answer("0.1", 0.4, 0, 1, 0)])
    found = steps._step(short, fresh[1:], "Add colourful examples.")
    assert found == (pytest.approx(1 / 3), pytest.approx(2 / 3), False, False)
    assert steps._step(short, fresh[1:], None).useful is None


@pytest.mark.parametrize(("name", "methods"), [("gate", 3), ("minimal-pairs", 2)])
async def test_the_experiment_runs_and_its_steps_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: ModuleType, name: str, methods: int
) -> None:
    monkeypatch.setattr("tpo.experiments.report.find_spec", lambda name: None)
    rows = [{"key": n, "prompt": f"Prompt {n}", "instruction_id_list": RULES, "kwargs": [{}, {}]} for n in range(4)]
    (tmp_path / "ifeval").mkdir()
    (tmp_path / "ifeval" / "input_data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    text = (ROOT / "recipes" / "small" / f"{name}.toml").read_text()
    assert text.count('data = "hub:"') == text.count("held-out = 100") == 1
    file = tmp_path / "experiment.toml"
    file.write_text(text.replace('"hub:"', '"ifeval"').replace("held-out = 100", "held-out = 1"))
    experiment = read_experiment(file)
    drawn = 0

    def reply(request: Request, index: int) -> str:
        nonlocal drawn
        drawn += 1
        return ("A, b", "a, b", "A b")[drawn % 3] + f" {drawn}"

    experiment.models["135m"].options["policy"] = FakeModel(reply, name="fake-135M")
    report = await run_experiment(experiment, tmp_path / "out")
    assert report.files is not None
    assert experiment.notes[0] in report.files.text
    assert len(read_outcomes(tmp_path / "out" / "outcomes.jsonl")) == 3 * methods
    table = {path.name: steps.row_of(path) for path in (tmp_path / "out" / "runs" / "135m").iterdir()}
    assert len(table) == methods
    # Three queries, two update steps each, since no answer keeps both rules.
    assert {row[1] for row in table.values()} == {"6"}
    assert table["tpo-s1"][4].startswith("0,") and table["tpo-s1"][5].startswith("6,")


async def test_the_model_learns_of_unstated_rules_in_one_method_and_not_in_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tpo.experiments.report.find_spec", lambda name: None)
    experiment = read_experiment(ROOT / "recipes" / "small" / "unstated.toml")
    asked: list[str] = []

    def reply(request: Request, index: int) -> str:
        asked.append(request.messages[-1]["content"])
        return f"An answer, {len(asked)}."

    experiment.models["135m"].options["policy"] = FakeModel(reply, name="fake-135M")
    await run_experiment(experiment, tmp_path / "out")
    outcomes = read_outcomes(tmp_path / "out" / "outcomes.jsonl")
    assert len(outcomes) == 24 * len(experiment.methods)
    later = dict.fromkeys(experiment.methods, 0)
    for one in outcomes:
        later[one.method] += sum(candidate.later for candidate in one.candidates)
    assert later["best15-stop"] == 0
    assert later["restate"] and later["restate-growing"]
    assert any("no comma" in text for text in asked)
