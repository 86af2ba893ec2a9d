"""`verifier:math`: what counts as equal, junk, work that never ends."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("math_verify", reason="math-verify is not installed (pip install 'tpo[verifiers]')")

from rewards.verifiers.kit import DATA, scored
from tpo.rewards.verifiers.exact import Accepted
from tpo.rewards.verifiers.maths import Math
from tpo.rewards.verifiers.references import References


@pytest.fixture(scope="module")
def half() -> Math:
    return Math(r"\frac{1}{2}")


@pytest.mark.parametrize(
    "answer",
    ["0.5", "1/2", "It is \\boxed{\\frac12}.", "$\\dfrac{2}{4}$", "Answer: 0.50\nNote 7", "so it is 50\\%, $0.5$"],
)
def test_equal_in_other_forms(half: Math, answer: str) -> None:
    assert scored(half, answer).value == 1.0


@pytest.mark.parametrize("answer", ["0.51", "\\boxed{2}", "1/2 is wrong.\nAnswer: 3", "-0.5"])
def test_wrong_and_the_right_one_is_not_revealed(half: Math, answer: str) -> None:
    score = scored(half, answer)
    assert (score.value, score.parts) == (0.0, {"math": 0.0})
    assert str(score.feedback).startswith("the final answer, read as ")
    assert str(score.feedback).endswith(", is wrong")
    assert "frac" not in str(score.feedback)


@pytest.mark.parametrize("answer", ["", " \n", "I do not know.", "\\boxed{", "\ud800", "🙂"])
def test_without_a_final_answer(half: Math, answer: str) -> None:
    score = scored(half, answer)
    assert score.value == 0.0
    assert "no final answer" in str(score.feedback)


def test_the_right_answer_is_revealed_with_reveal() -> None:
    assert str(scored(Math("42", reveal=True), "41").feedback).endswith("is wrong; right is 42")


def test_a_reference_that_is_no_mathematics_is_compared_as_text() -> None:
    reward = Math("the green one")
    assert scored(reward, "The Green One.").value == 1.0
    assert scored(reward, "the red one").value == 0.0


def test_gsm8k_references() -> None:
    reward = Math("He has 16 - 3 = 13 eggs.\n#### 1,300")
    assert [scored(reward, answer).value for answer in ("1300", "$1,300", "13")] == [1.0, 1.0, 0.0]


def test_work_without_end_is_stopped_and_the_next_answer_is_judged() -> None:
    reward = Math("2", seconds=1.0)
    for endless in ("\\boxed{9^{9^{9^9}}}", "\\boxed{" + "!".join("9" * 40) + "}"):
        assert scored(reward, endless).value == 0.0
    assert scored(reward, "2").value == 1.0


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.text(), st.text(alphabet="\\frac{}12$+-*/^()=,.%boxedsqrt \n")))
def test_no_text_breaks_it(half: Math, text: str) -> None:
    assert half.check(text, ("7777777",)).value == 0.0


def test_published_solutions_agree_with_their_answers() -> None:
    file = DATA / "math500" / "math500.jsonl"
    if not file.exists():
        pytest.skip("the evaluation data is not here (set TPO_DATA)")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()][:60]
    table: References[Accepted] = References({row["problem"]: (row["answer"],) for row in rows})
    reward = Math(table)
    wrong = [row["answer"] for row in rows if scored(reward, row["solution"], row["problem"]).value != 1.0]
    assert wrong == []
