"""What an experiment warns of, and the largest reward that it knows of by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tpo.experiments.definition import read_experiment
from tpo.experiments.experiment import _maximum
from tpo.experiments.figures import kl_of_best
from tpo.experiments.guards import warnings
from tpo.experiments.outcomes import CandidateOutcome, QueryOutcome
from tpo.experiments.results import ModelResults


def outcome(query: int, answer: CandidateOutcome, first: CandidateOutcome) -> QueryOutcome:
    return QueryOutcome(
        model="m",
        method="tpo",
        seed=1,
        query=str(query),
        reward=answer.reward,
        values={},
        completion=1,
        prompt=1,
        calls=1,
        stages=1,
        seconds=1.0,
        characters=answer.characters,
        stop="depth",
        candidates=[first, answer],
    )


def test_how_far_the_best_of_n_is_from_its_policy_by_hand() -> None:
    # ln n - (n-1)/n
    assert [round(kl_of_best(n), 3) for n in (1, 4, 16)] == [0, 0.636, 1.835]


def test_a_method_that_games_its_reward_is_warned_of() -> None:
    def warned(reward: float, characters: int, judge: float | None) -> list[str]:
        found = [
            outcome(n, CandidateOutcome(1, reward + n / 9, 1, characters + n, None, judge), plain)
            for n, plain in enumerate([CandidateOutcome(0, 0.1, 1, 100, None, None if judge is None else 0.5)] * 5)
        ]
        return warnings(ModelResults("m", found, ["tpo"], [], None, None))

    assert warned(0.5, 100, 0.6) == warned(0.5, 100, None) == []
    (longer,) = warned(0.5, 130, 0.6)
    assert "m, tpo: answers are 32% longer" in longer
    (gamed,) = warned(0.5, 100, 0.3)
    assert "the reward rises by 0.622" in gamed and "judge falls by 0.200" in gamed


@pytest.mark.parametrize(
    ("options", "maximum"),
    [
        ('reward = "none"\nrequire = ["max-words=5"]', 1.0),
        ('reward = "prefer:rubric.txt"', 1.0),
        ('reward = "prefer:rubric.txt?weights=variance"', None),
        ('reward = "verifier:exact"', 1.0),
        ('reward = "verifier:exact"\nrequire = ["max-words=5"]', None),
        ('reward = "surface"', None),
    ],
)
def test_the_largest_reward_is_known_where_all_are_steered_by_checks(
    tmp_path: Path, options: str, maximum: float | None
) -> None:
    path = tmp_path / "experiment.toml"
    path.write_text(
        f'[queries]\ndata = "q.txt"\n[options]\n{options}\n[models.m]\npolicy = "embedded"\n'
        '[methods.best]\nmethod = "best-of-n"\n'
    )
    assert _maximum(read_experiment(path), tmp_path, []) == maximum
