"""The gate: rules first, then the base reward, in one number."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpo.errors import RewardError
from tpo.messages import Conversation, answered, conversation, text_of
from tpo.rewards.batching import Batched
from tpo.rewards.gate import Gate, squash
from tpo.rewards.protocol import Score, maximum_of
from tpo.rewards.python import PythonReward
from tpo.rewards.require import Requirements
from tpo.rewards.surface import Surface, surface

QUERY = conversation("Where?")
RULES = ["contains=a", "contains=b", "contains=c", "contains=d"]
BASES = st.floats(-1e6, 1e6)


class Fixed:
    """Gives every answer the scores it was made with."""

    name = "fixed@7"

    def __init__(self, *scores: Score | float) -> None:
        self.scores = scores

    async def score(self, conversations: Sequence[Conversation]) -> Sequence[Score | float]:
        return self.scores


def gated(answers: list[str], bases: list[float], rules: Sequence[str] = RULES) -> list[float]:
    gate = Gate(Requirements(rules), Fixed(*bases))
    return [score.value for score in asyncio.run(gate.score([answered(QUERY, answer) for answer in answers]))]


@given(st.permutations("abcd"), st.integers(0, 4), st.integers(0, 4), BASES, BASES)
def test_more_rules_kept_always_win(letters: list[str], some: int, others: int, base: float, other: float) -> None:
    first, second = gated(["-" + "".join(letters[:some]), "-" + "".join(letters[:others])], [base, other])
    if some != others:
        assert (first > second) == (some > others)
    elif base <= other:
        assert first <= second
    assert 0.0 < first < 1.0


@given(st.integers(0, 4), BASES, st.floats(1.0, 1e6))
def test_among_equals_the_base_decides_strictly(kept: int, base: float, step: float) -> None:
    gap = step * 4e-15 * (len(RULES) + 1) * (1 + abs(base)) ** 2  # the precision that squash promises
    answer = "-" + "abcd"[:kept]
    lower, higher = gated([answer, answer], [base, base + max(gap, 4 * math.ulp(base))])
    assert lower < higher


def test_the_range_is_open_at_a_million_and_logits_stay_apart() -> None:
    low, high = gated(["-", "abcd"], [-1e6, 1e6])
    assert 0.0 < low < high < 1.0
    assert squash(37.0) < squash(37.0 + 1e-9) < squash(60.0) < squash(60.1)


@pytest.mark.parametrize("base", [math.nan, math.inf, -math.inf])
def test_a_base_that_is_no_number_passes_through_as_nan(base: float) -> None:
    assert all(map(math.isnan, gated(["abcd"], [base])))


async def test_parts_and_feedback_hold_both() -> None:
    gate = Gate(Requirements(["contains=a", "json"]), Fixed(Score(2.0, {"tone": 0.5}, "Too dry.")))
    (score,) = await gate.score([answered(QUERY, "a")])
    assert score.parts == {"contains=a": 1.0, "json": 0.0, "fixed": 2.0, "fixed.tone": 0.5}
    assert score.value == pytest.approx((1 + squash(2.0)) / 3)
    assert str(score.feedback).startswith("kept 1 of 2 requirements; missing: JSON")
    assert str(score.feedback).endswith("Too dry.")


async def test_with_surface() -> None:
    gate = Gate(Requirements(["max-words=3"]), Surface())
    (score,) = await gate.score([answered(QUERY, "In Paris.")])
    assert score.parts["surface"] == surface("Where?", "In Paris.").value
    assert score.parts["surface.completeness"] == 1.0
    assert score.feedback == "kept the requirement"


async def test_both_are_scored_at_the_same_time() -> None:
    begun, checked = asyncio.Event(), asyncio.Event()

    class Waiting(Fixed):
        async def score(self, conversations: Sequence[Conversation]) -> Sequence[Score | float]:
            begun.set()
            await checked.wait()
            return [1.0]

    class Checking(Requirements):
        async def score(self, conversations: Sequence[Conversation]) -> list[Score]:
            await begun.wait()
            checked.set()
            return [self.check(text_of(messages[-1])) for messages in conversations]

    async with asyncio.timeout(30):
        assert len(await Gate(Checking(["json"]), Waiting()).score([answered(QUERY, "a")])) == 1


async def test_a_base_that_miscounts_is_named() -> None:
    with pytest.raises(RewardError, match=r"fixed@7 returned .* for 1 conversation"):
        await Gate(Requirements(["json"]), Fixed(1.0, 2.0)).score([answered(QUERY, "a")])


def test_the_name_holds_both() -> None:
    assert Gate(Requirements(["json"]), Surface()).name == "gate@1(require@1(json), surface@2)"


@pytest.mark.parametrize("best", [0.0, 1.0, 0.3, 1e6])
def test_the_maximum_is_the_value_of_a_perfect_answer(best: float) -> None:
    base = Fixed(best)
    gate = Gate(Requirements(RULES), base)
    assert gate.maximum is None
    base.maximum = best  # type: ignore[attr-defined]
    (score,) = asyncio.run(gate.score([answered(QUERY, "abcd")]))
    assert score.value == gate.maximum == Batched(gate).maximum


@pytest.mark.parametrize("maximum", [None, "1", True, math.inf, math.nan, max])
def test_what_is_no_number_is_no_maximum(maximum: object) -> None:
    base = Fixed(1.0)
    base.maximum = maximum  # type: ignore[attr-defined]
    assert maximum_of(base) is None
    assert PythonReward(base).maximum is None
