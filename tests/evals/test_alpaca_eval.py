"""AlpacaEval 2: the published win rates come out again; what length control does; files that are no annotations."""

from __future__ import annotations

import gzip
import json
import math
import random
from pathlib import Path
from statistics import correlation

import pytest

from evals.kit import data
from tpo.errors import InputError
from tpo.evals.benchmarks.alpaca_eval import (
    NOT_FOR_DIFFICULTY,
    Annotation,
    compare,
    difficulties,
    length_controlled,
    predicted,
    read_annotations,
    win_rate,
)
from tpo.stats import Estimate

pytest.importorskip("numpy", reason="numpy is not installed (pip install numpy)")

Models = dict[str, list[Annotation]]


@pytest.fixture(scope="module")
def published() -> Models:
    return read_annotations(data("alpaca_eval/annotations_v2.csv.gz"))


@pytest.fixture(scope="module")
def difficulty(published: Models) -> dict[int, float]:
    return difficulties(published)


def leaderboard() -> dict[str, dict[str, float]]:
    table: dict[str, dict[str, float]] = json.loads(data("alpaca_eval/leaderboard_v2.json").read_text())
    return table


def test_raw_win_rates_are_the_published_ones(published: Models) -> None:
    table = leaderboard()
    assert published.keys() == table.keys()
    for model, judged in published.items():
        assert win_rate(judged).value == pytest.approx(table[model]["win_rate"], abs=1e-6), model


@pytest.mark.parametrize(
    ("model", "error"),
    [("claude-2", 1.17482825615589), ("vicuna-13b-v1.5", 0.7674173990955542), ("alpaca-7b", 0.48709)],
)
def test_standard_errors_are_the_published_ones(published: Models, model: str, error: float) -> None:
    assert win_rate(published[model]).error == pytest.approx(error, abs=1e-5)


def test_length_controlled_win_rates_are_within_half_a_point(published: Models, difficulty: dict[int, float]) -> None:
    table = leaderboard()
    gaps = {
        model: length_controlled(judged, difficulty).value - table[model]["length_controlled_winrate"]
        for model, judged in published.items()
    }
    assert {model: gap for model, gap in gaps.items() if abs(gap) > 0.5} == {}
    assert sum(map(abs, gaps.values())) / len(gaps) < 0.25


def test_a_model_that_took_no_part_in_the_difficulties_comes_out_too(published: Models) -> None:
    table = leaderboard()
    for model in ("wizardlm-13b", "gemma-7b-it", "jina-chat"):
        difficulty = difficulties(published, (*NOT_FOR_DIFFICULTY, model))
        found = length_controlled(published[model], difficulty).value
        assert found == pytest.approx(table[model]["length_controlled_winrate"], abs=0.6), model


def test_published_values_are_off_by_one_after_a_missing_judgement(
    published: Models, difficulty: dict[int, float]
) -> None:
    gappy, whole = published["text_davinci_001"], published["alpaca-7b"]
    assert (len(gappy), len(whole)) == (803, 805)
    wanted = leaderboard()["text_davinci_001"]["length_controlled_winrate"]
    assert length_controlled(gappy, difficulty).value == pytest.approx(wanted, abs=0.5)
    assert abs(length_controlled(gappy, difficulty, as_published=False).value - wanted) > 2
    assert predicted(whole, difficulty) == predicted(whole, difficulty, as_published=False)


def made_up(quality: float, longer: int, bias: float, count: int = 600, seed: int = 0) -> list[Annotation]:
    """A model of a quality whose answers are longer by so much, before a judge that likes length."""
    draw = random.Random(seed)
    made = []
    for prompt in range(count):
        gap = longer + draw.gauss(0, 400)
        odds = quality + bias * math.tanh(gap / 400) + draw.gauss(0, 0.3)
        made.append(Annotation(prompt, 1 / (1 + math.exp(-odds)), int(2000 + gap), 2000))
    return made


def test_length_control_takes_away_what_length_alone_won() -> None:
    flat = dict.fromkeys(range(600), 0.0)
    wordy, terse = made_up(0.0, 600, 1.9), made_up(0.0, -600, 1.9)
    assert win_rate(wordy).value > 70
    assert win_rate(terse).value < 30
    for model in (wordy, terse):
        assert length_controlled(model, flat).value == pytest.approx(50, abs=4)


def test_difficulties_are_found_again() -> None:
    draw = random.Random(5)
    truth = [draw.gauss(0, 1) for _ in range(120)]
    models = {
        f"m{number}": [
            Annotation(prompt, 1 / (1 + math.exp(-(number / 4 - 2 + easy))), 2000 + draw.randrange(-500, 500), 2000)
            for prompt, easy in enumerate(truth)
        ]
        for number in range(12)
    }
    found = difficulties(models)
    assert math.fsum(found.values()) == pytest.approx(0, abs=1e-6)
    assert math.fsum(value**2 for value in found.values()) == pytest.approx(120)
    assert correlation(list(found.values()), truth) > 0.99


def test_the_baseline_is_at_50_and_carries_no_difficulty() -> None:
    baseline = [Annotation(prompt, 0.5, 100 + prompt, 100 + prompt) for prompt in range(20)]
    assert length_controlled(baseline, dict.fromkeys(range(20), 0.0)).value == 50.0
    with pytest.raises(InputError, match="no model to estimate"):
        difficulties({"baseline": baseline, "none": []})


def test_always_won_and_always_the_same_length_stay_finite() -> None:
    won = [Annotation(prompt, 1.0, 1000, 900) for prompt in range(20)]
    assert 95 < length_controlled(won, dict.fromkeys(range(20), 0.0)).value <= 100


def test_paired_comparison() -> None:
    one, other = made_up(0.6, 0, 1.9, seed=1), made_up(0.0, 600, 1.9, seed=2)
    raw, controlled = compare(one, other), compare(one, other, dict.fromkeys(range(600), 0.0))
    assert (raw.instructions, raw.length_controlled) == (600, None)
    assert raw.win_rate.value == pytest.approx(win_rate(one).value - win_rate(other).value)
    assert raw.win_rate.high is not None
    assert raw.win_rate.high < 0  # longer answers win
    assert controlled.length_controlled is not None
    assert controlled.length_controlled.value == pytest.approx(14, abs=4)
    assert compare(one, one).win_rate == Estimate(0.0, 0.0, 0.0, 0.0, 600)
    assert compare(one[:100], other[50:]).instructions == 50
    with pytest.raises(InputError, match="share no instruction"):
        compare(one[:100], other[100:])


HEAD = "prompt_id,model,preference,length_model,length_baseline\n"


@pytest.mark.parametrize("packed", [True, False])
def test_reading(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "annotations.csv"
    text = HEAD + "1,a,2.0,7,8\n0,a,0,5,6\n0,a,0,5,6\n2,a,,5,6\n2,b,1.25,5,6\n"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    assert read_annotations(path) == {
        "a": [Annotation(0, 0.5, 5, 6), Annotation(1, 1.0, 7, 8)],
        "b": [Annotation(2, 0.25, 5, 6)],
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("prompt_id,model\n0,a\n", "no column preference"),
        (HEAD + "0,a,3,5,6\n", "line 2: the preference 3"),
        (HEAD + "0,a,1.5,5,6\n0,a,1.6,5,6\n", "line 3: a has another judgement of instruction 0"),
        (HEAD + "0,a,1.5,x,6\n", "line 2: invalid literal"),
        (HEAD + "0,a\n", "line 2: the row is too short"),
        (HEAD + "-1,a,1.5,5,6\n", "below zero"),
    ],
)
def test_what_is_no_annotation_is_reported(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "annotations.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=complaint):
        read_annotations(path)


def test_what_cannot_be_computed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_annotations(tmp_path / "nowhere")
    some = made_up(0, 0, 0, 5)
    with pytest.raises(InputError, match="at least two"):
        length_controlled(some[:1], {0: 0.0})
    for as_published in (True, False):
        with pytest.raises(InputError, match="has no difficulty"):
            length_controlled(some, {0: 0.0}, as_published=as_published)
