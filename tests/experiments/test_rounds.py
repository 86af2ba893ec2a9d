"""Rounds: the answers to one prompt, drawn at once or in waves, read from a journal and from a file of outcomes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from experiments.kit import FILE, rewrite, sometimes_right, with_model
from tpo.engine.records import Prompted, Record, Sampled
from tpo.experiments.experiment import run_experiment
from tpo.experiments.figures import best_by, width_depth
from tpo.experiments.outcomes import CandidateOutcome, QueryOutcome, read_outcomes
from tpo.experiments.results import ModelResults
from tpo.experiments.rounds import origins

# The waves of a step, each as the prompts of its actions, with how many answers each draws.
Waves = list[list[tuple[str, str, int]]]


def journal(waves: Waves) -> list[Record]:
    """A journal; a prompt is its name and what it says. Every second turn asks a critic."""
    records: list[Record] = []
    for step, wave in enumerate(waves):
        turn = 2 * step
        for action, (name, says, width) in enumerate(wave):
            messages = [{"role": "user", "content": says}]
            records.append(Prompted(turn, action, step, name, "policy", messages, width=width))
            for index in range(width):
                before = sum(some for _, _, some in wave[:action])
                records.append(Sampled(turn, action, index, step, f"{step}.{before + index}", "text", "stop", 1))
        records.append(Prompted(turn + 1, 0, step + 1, "loss", "critic", [{"role": "user", "content": "why?"}]))
    return records


@pytest.mark.parametrize(
    ("waves", "width", "rounds"),
    [
        # Best-of-n in waves is one round.
        ([[("answer", "q", 2)], [("answer", "q", 2)], [("answer", "q", 1)]], 5, [0, 0, 0]),
        # A new piece of advice is a new round, though the prompt has the same name.
        (
            [[("answer", "q", 2)], [("update", "one", 1)], [("update", "one", 1)], [("update", "two", 2)]],
            2,
            [0, 1, 1, 2],
        ),
        # The next step may ask the same again.
        ([[("answer", "q", 2)], [("restate", "one", 2)], [("restate", "one", 2)]], 2, [0, 1, 2]),
        # Several prompts at once are one round.
        ([[("answer", "q", 1)], [("restate", "r", 1), ("answer", "q", 1)], [("answer", "q", 4)]], 5, [0, 1, 2]),
    ],
)
def test_a_round_is_a_change_of_prompt(waves: Waves, width: int, rounds: list[int]) -> None:
    found = origins(journal(waves), width)
    assert [found[f"{step}.0"].round for step in range(len(waves))] == rounds
    assert [found[f"{step}.0"].prompt for step in range(len(waves))] == [wave[0][0] for wave in waves]
    assert len(found) == sum(some for wave in waves for _, _, some in wave)


@pytest.mark.usefixtures("no_figures")
async def test_plain_answers_of_later_waves_are_not_later_answers(file: Path, tmp_path: Path) -> None:
    rewrite(file, FILE.replace('method = "restate"\n', 'method = "restate"\nsettings = { wave = 1 }\n'))
    report = await run_experiment(with_model(file, sometimes_right()), tmp_path / "out")
    outcomes = [one for one in read_outcomes(tmp_path / "out" / "outcomes.jsonl") if one.method == "restate"]
    whole = max(outcomes, key=lambda one: len(one.candidates))
    # Two plain answers in two waves, then one to a restated rule, which keeps it.
    assert [one.step for one in whole.candidates] == [0, 1, 2]
    assert [(one.prompt, one.round, one.later) for one in whole.candidates] == [
        ("answer", 0, False),
        ("answer", 0, False),
        ("restate", 1, True),
    ]
    assert report.files is not None
    text = (tmp_path / "out" / "proposals.csv").read_text()
    rows = [line.split(",") for line in text.splitlines()]
    (later,) = [dict(zip(rows[0], row, strict=True)) for row in rows[1:] if "IFEval" in row]
    assert (later["method"], float(later["later"])) == ("restate", 1)
    assert int(later["queries"]) == len({one.query for one in outcomes if len(one.candidates) == 3})


def in_waves(method: str, *answers: tuple[int, float, str, int | None]) -> QueryOutcome:
    """A search; an answer is its wave, reward, prompt and round."""
    seen = [
        CandidateOutcome(step, reward, 10, 40, prompt=prompt, round=number) for step, reward, prompt, number in answers
    ]
    best = max(one.reward or 0.0 for one in seen)
    return QueryOutcome("m", method, 1, "a", best, {}, 10 * len(seen), 5, 1, 1, 1.0, 40, "depth", seen)


BANK = in_waves("bank", *((wave, wave / 10, "answer", 0) for wave in range(4)))
SEARCH = in_waves("other", (0, 0.0, "answer", 0), (1, 0.1, "answer", 0), (2, 0.5, "restate", 1), (3, 0.2, "restate", 1))


def test_figures_count_changes_of_prompt_and_not_waves() -> None:
    assert [best_by(SEARCH, step) for step in (0, 1)] == [0.1, 0.5]
    plot = width_depth(ModelResults("m", [BANK, SEARCH], ["bank", "other"], [], "bank", None))
    assert plot is not None
    assert [(mark["series"], mark["width"], mark["depth"]) for mark in plot.marks] == [("bank", 4, 0), ("other", 2, 1)]


def test_files_of_earlier_versions_know_waves_alone() -> None:
    old = msgspec.json.decode(b"[1, 0.5, 10, 40, 1.0, null, false]", type=CandidateOutcome)
    assert (old.prompt, old.round, old.later) == ("", None, True)
    search = in_waves("other", (0, 0.0, "", None), (1, 0.1, "", None), (2, 0.5, "", None))
    assert [len(some) for some in search.rounds] == [1, 1, 1]
