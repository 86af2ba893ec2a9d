"""Arena-Hard: reading verdicts, and win rates that have a closed form."""

from __future__ import annotations

import math

import pytest

from tpo.errors import InputError
from tpo.evals.benchmarks.arena_hard import VERDICTS, ArenaVerdict, read_verdict, scores, win_rates


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("My final verdict is tie: [[A=B]]", "A=B"),
        ("[[A>>B]]", "A>>B"),
        ("... so: [[ B > A ]].", "B>A"),
        ("[[B>>A]] and again [[B>>A]]", "B>>A"),
        ("**[[A&gt;B]]**", "A>B"),
        (r"\[\[A\>B\]\]", "A>B"),
        ("[[A<B]]", "B>A"),
        ("[[a<<b]]", "B>>A"),
        ("[[B=A]]", "A=B"),
        ("[[B≫A]]", "B>>A"),
        ("Options are [[A>B]] and [[B>A]].\nFinal verdict: [[B>A]]", "B>A"),
        ("It may be [[A>B]] or [[B>A]].", None),
        ("[[A>A]]", None),
        ("[[A>>>B]]", None),
        ("A>B", None),
        ("see [[1]] and [[note]]", None),
        ("", None),
    ],
)
def test_verdicts(reply: str, verdict: str | None) -> None:
    assert read_verdict(reply) == verdict


def test_every_label_reads_as_itself() -> None:
    assert [read_verdict(f"I say [[{label}]]") for label in VERDICTS] == list(VERDICTS)


def judged(model: str, verdicts: list[tuple[str, str]]) -> list[ArenaVerdict]:
    """Both games of each question: the baseline first, then the model first."""
    return [
        one
        for number, (first, second) in enumerate(verdicts)
        for one in (
            ArenaVerdict(f"q{number}", "base", model, first),
            ArenaVerdict(f"q{number}", model, "base", second),
        )
    ]


GAMES = judged("m", [("B>>A", "A>B"), ("A=B", "A=B"), ("A>B", "B>>A"), ("A>B", "A=B")])


def test_against_a_baseline_alone_the_win_rate_is_the_share_of_games_won() -> None:
    # Won 3 + 1 and half of three ties; lost 1 + 3 + 1 and the other halves.
    rates = win_rates(GAMES, "base")
    assert rates["m"].value == pytest.approx(100 * 5.5 / 12, abs=1e-3)
    assert rates["base"] == (50.0, 50.0, 50.0)
    assert rates["m"].low <= rates["m"].value <= rates["m"].high
    unweighted = win_rates(GAMES, "base", strong=1)
    assert unweighted["m"].value == pytest.approx(100 * 3.5 / 8, abs=1e-3)


def test_scores_are_log_odds() -> None:
    found = scores(GAMES)
    assert found["m"] - found["base"] == pytest.approx(math.log(5.5 / 6.5), abs=1e-4)


def test_three_in_a_chain_add_up() -> None:
    games = [ArenaVerdict(f"{i}", "a", "b", "A>B" if i < 3 else "B>A") for i in range(4)]
    games += [ArenaVerdict(f"{i}", "b", "c", "A>B" if i < 2 else "B>A") for i in range(3)]
    rate = win_rates(games, "c", rounds=5)["a"].value
    odds = (3 / 1) * (2 / 1)
    assert rate == pytest.approx(100 * odds / (1 + odds), abs=1e-3)


def test_the_bootstrap_keeps_its_seed_and_covers_about_the_normal_interval() -> None:
    games = judged("m", [("B>A", "A>B")] * 120 + [("A>B", "B>A")] * 80)
    one, same, other = (win_rates(games, "base", seed=seed, rounds=200)["m"] for seed in (1, 1, 2))
    assert one == same != other
    # The two games of a question agree, so that there are 200 independent ones and not 400.
    half = 196 * math.sqrt(0.6 * 0.4 / 200)
    assert one.value == pytest.approx(60, abs=1e-3)
    assert [one.low, one.high] == pytest.approx([60 - half, 60 + half], abs=2)
    assert str(one).startswith("60.0 [")


def test_a_model_that_never_loses_has_100() -> None:
    rate = win_rates(judged("m", [("B>>A", "A>>B")] * 20), "base", rounds=10)["m"]
    assert rate.value == pytest.approx(100, abs=0.01)
    assert rate.high <= 100


@pytest.mark.parametrize(
    ("games", "complaint"),
    [
        ([], "no verdict"),
        ([ArenaVerdict("q", "m", "base", "A")], "verdict 'A' on question q is unknown"),
        ([ArenaVerdict("q", "m", "m", "A>B")], "meets itself"),
        ([ArenaVerdict("q", "m", "n", "A>B")], "baseline 'base' has no verdict; judged were m, n"),
    ],
)
def test_what_cannot_be_scored_is_reported(games: list[ArenaVerdict], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        win_rates(games, "base")


def test_a_bootstrap_needs_a_round() -> None:
    with pytest.raises(InputError, match="0 rounds"):
        win_rates(GAMES, "base", rounds=0)
