"""Combined rewards: normalised within the pool, weighted, capped by the worst, priced by length."""

from __future__ import annotations

import math
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import FakeReward
from tpo.errors import InputError
from tpo.messages import answered, conversation
from tpo.rewards.combine import Combined, normalised, requested_words
from tpo.rewards.gate import Gate
from tpo.rewards.protocol import Score, is_relative
from tpo.rewards.require import Requirements


def pool(*texts: str) -> list[list[dict[str, str]]]:
    return [answered(conversation("How?"), text) for text in texts]


def table(**scores: float | Score) -> FakeReward:
    return FakeReward(lambda text: scores[text.split()[0]])


async def test_terms_of_different_units_weigh_the_same() -> None:
    logits = table(a=-30.0, b=0.0, c=30.0)
    grades = table(a=0.9, b=0.5, c=0.1)
    even = await Combined({"rm": logits, "judge": grades}).score(pool("a", "b", "c"))
    assert [round(score.value, 9) for score in even] == [0.0, 0.0, 0.0]
    tilted = await Combined({"rm": logits, "judge": grades}, {"judge": 2.0}).score(pool("a", "b", "c"))
    assert tilted[0].value > tilted[1].value > tilted[2].value
    assert tilted[0].parts == {
        "rm": -30.0,
        "rm.z": pytest.approx(-math.sqrt(1.5)),
        "judge": 0.9,
        "judge.z": pytest.approx(math.sqrt(1.5)),
    }


async def test_the_minimum_is_as_good_as_the_worst_term() -> None:
    rm, safety = table(a=9.0, b=5.0, c=1.0), table(a=-9.0, b=1.0, c=1.0)
    scores = await Combined({"rm": rm, "safety": safety}, how="min").score(pool("a", "b", "c"))
    assert max(scores, key=lambda score: score.value) == scores[1]


async def test_length_beyond_the_median_costs_and_brevity_earns_nothing() -> None:
    same = table(a=1.0, b=1.0, c=1.0)
    given = pool("a" + " word" * 9, "b" + " word" * 19, "c" + " word" * 4)
    scores = await Combined({"rm": same}, length_price=0.5).score(given)
    assert [score.value for score in scores] == [0.0, -0.5, 0.0]
    assert scores[1].parts["length"] == -0.5


async def test_length_is_held_against_what_the_query_asks_where_it_asks() -> None:
    same = table(a=1.0, b=1.0)
    given = [
        answered(conversation("Explain it in 10 words."), text) for text in ("a" + " word" * 9, "b" + " word" * 14)
    ]
    scores = await Combined({"rm": same}, length_price=1.0).score(given)
    assert [score.value for score in scores] == [0.0, -0.5]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("Explain it in 50 words.", 50),
        ("Write at most 120 words about oaks", 120),
        ("Write no more than about 80 words.", 80),
        ("I need a 200-word summary.", 200),
        ("In 1984, words changed.", None),
        ("Learn 50 words a day?", None),
        ("Why is the sky blue?", None),
    ],
)
def test_how_many_words_a_query_asks_for(query: str, words: int | None) -> None:
    assert requested_words(query) == words


async def test_a_term_without_a_score_leaves_the_answer_without_one() -> None:
    odd = table(a=math.nan, b=1.0, c=2.0)
    for how in ("sum", "min"):
        combined = Combined({"odd": odd, "rm": table(a=1.0, b=2.0, c=3.0)}, how=_how(how))
        scores = await combined.score(pool("a", "b", "c"))
        assert math.isnan(scores[0].value)
        assert scores[2].value > scores[1].value


def _how(how: str) -> Literal["sum", "min"]:
    return "min" if how == "min" else "sum"


async def test_an_answer_below_a_gate_ranks_below_all_others() -> None:
    rm, safety = table(a=9.0, b=1.0, c=2.0), table(a=0.2, b=0.9, c=0.5)
    combined = Combined({"rm": rm, "safety": safety}, {"safety": 0.0}, gates={"safety": 0.5})
    scores = await combined.score(pool("a", "b", "c"))
    assert scores[2].value > scores[1].value > scores[0].value
    assert scores[0].parts["safety"] == 0.2


async def test_parts_and_feedback_of_all_terms_are_kept() -> None:
    told = table(a=Score(1.0, {"x": 2.0}, "it is short"), b=0.0)
    combined = Combined({"told": told, "rm": table(a=1.0, b=0.0)})
    score = (await combined.score(pool("a", "b")))[0]
    assert score.parts["told.x"] == 2.0
    assert score.feedback == "it is short"
    assert is_relative(combined)


async def test_a_gate_before_a_combination_looks_at_the_pool_too() -> None:
    combined = Combined({"rm": table(a=5.0, b=1.0)})
    gate = Gate(Requirements(["max-words=2"]), combined)
    scores = await gate.score(pool("a and many words", "b"))
    assert scores[1].value > 0.5 > scores[0].value
    assert is_relative(gate)
    assert not is_relative(Gate(Requirements(["json"]), table()))


def test_the_name_distinguishes_terms_and_weights() -> None:
    names = {
        Combined({"a": FakeReward(lambda t: 1.0)}).name,
        Combined({"a": FakeReward(lambda t: 1.0)}, {"a": 2.0}).name,
        Combined({"a": FakeReward(lambda t: 1.0)}, how="min").name,
        Combined({"a": FakeReward(lambda t: 1.0)}, length_price=0.1).name,
        Combined({"a": FakeReward(lambda t: 1.0)}, gates={"a": 0.1}).name,
        Combined({"a": FakeReward(lambda t: 1.0, name="other")}).name,
    }
    assert len(names) == 6


def test_what_cannot_be_combined_is_refused() -> None:
    with pytest.raises(InputError, match="at least one term"):
        Combined({})
    with pytest.raises(InputError, match="weight or gate for b"):
        Combined({"a": FakeReward(lambda t: 1.0)}, {"b": 1.0})
    with pytest.raises(InputError, match="finite"):
        Combined({"a": FakeReward(lambda t: 1.0)}, {"a": math.inf})
    with pytest.raises(InputError, match="at least 0"):
        Combined({"a": FakeReward(lambda t: 1.0)}, length_price=-1.0)


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=20), st.floats(0.1, 100), st.floats(-1e6, 1e6))
def test_normalising_keeps_the_order_and_forgets_the_unit(values: list[float], scale: float, shift: float) -> None:
    z = normalised(values)
    assert all(math.isfinite(value) for value in z)
    for i, one in enumerate(values):
        for j, other in enumerate(values):
            if one > other:
                assert z[i] >= z[j]
    if max(values) - min(values) > 1.0:
        assert normalised([value * scale + shift for value in values]) == pytest.approx(z, abs=1e-3)
