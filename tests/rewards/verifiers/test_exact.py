"""`verifier:exact` and `verifier:regex`, and finding the final answer in a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.verifiers.kit import scored
from tpo.candidate import Candidate
from tpo.errors import InputError
from tpo.methods.unmet import unmet
from tpo.rewards.verifiers.answers import TAKES, clipped, final_answer, last_code, normalised, unfenced
from tpo.rewards.verifiers.exact import Exact
from tpo.rewards.verifiers.pattern import Regex

NOISE = st.one_of(st.text(), st.text(alphabet="answer is:*\\boxed{}`~#$ \n.\ud800\u0301json[]"))


@pytest.mark.parametrize(
    ("take", "text", "found"),
    [
        ("auto", "So \\boxed{42}.\nAnswer: 41\nBye", "42"),
        ("auto", "Thinking.\n**Answer:** 41\nBye", "41"),
        ("auto", "Thinking.\n\nParis\n\n", "Paris"),
        ("auto", "Final answer is: 7", "7"),
        ("auto", "", None),
        ("boxed", "\\boxed{1} then \\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("boxed", "\\boxed{1} then \\boxed{2", None),
        ("auto", "\\boxed{1} then \\boxed{2", None),
        ("auto", "Answer: 1\nSo \\boxed{1", None),
        ("boxed", "\\boxed{}", None),
        ("boxed", "none", None),
        ("marker", "Answer: 1\nAnswer:\n\n2\n3", "2"),
        ("marker", "answered: 1", None),
        ("marker", "Answer：四", "四"),
        ("last-line", "a\nb\n \n", "b"),
        ("whole", " a\nb ", "a\nb"),
    ],
)
def test_the_final_answer(take: str, text: str, found: str | None) -> None:
    assert final_answer(text, take) == found


@pytest.mark.parametrize("same", ["Paris", " paris. ", "**Paris**", '"PARIS"', "`Paris`!", "Ｐａｒｉｓ", "$Paris$"])
def test_wrappings_and_case_do_not_count(same: str) -> None:
    assert normalised(same) == "paris"
    assert scored(Exact("Paris"), f"Let me see.\n{same}").value == 1.0


@pytest.mark.parametrize(("text", "other"), [("10⁵", "105"), ("x₁", "x1"), ("3!", "3"), ("n!", "n"), ("5%", "5")])
def test_signs_that_change_a_meaning_count(text: str, other: str) -> None:
    assert normalised(text) != normalised(other)


@pytest.mark.parametrize("other", ["Pari", "Paris, Texas", "not Paris", "-Paris", "P a r i s"])
def test_other_answers_are_wrong_and_the_right_one_is_not_revealed(other: str) -> None:
    score = scored(Exact("Lyon"), other)
    assert (score.value, score.parts) == (0.0, {"exact": 0.0})
    assert score.feedback == f'the final answer, "{other}", is wrong'
    assert scored(Exact("Paris"), other).value == 0.0


def test_the_right_answer_is_revealed_only_with_reveal() -> None:
    assert scored(Exact("Lyon", reveal=True), "Paris").feedback == 'the final answer, "Paris", is wrong; right is Lyon'
    assert "Lyon" not in str(scored(Exact("Lyon"), "").feedback)
    assert "\\boxed" in str(scored(Exact("Lyon", "boxed"), "Lyon").feedback)


def test_praise_names_nothing_that_is_missing() -> None:
    for reward, answer in ((Exact("Lyon"), "Lyon"), (Regex(r"^\d+$"), "12")):
        score = scored(reward, answer)
        assert score.feedback
        assert unmet(Candidate("0.0", 0, answer, feedback=score.feedback)) == ""


def test_any_of_several_answers_is_right() -> None:
    reward = Exact(["USA", "United States"])
    assert [scored(reward, answer).value for answer in ("usa", "United  States", "US")] == [1.0, 1.0, 0.0]


@pytest.mark.parametrize("reference", ["", " ", [], ["a", ""]])
def test_empty_references_are_errors(reference: str | list[str]) -> None:
    with pytest.raises(InputError, match="reference"):
        Exact(reference)


def test_an_unknown_part_to_take_is_an_error() -> None:
    with pytest.raises(InputError, match="last-line, marker"):
        Exact("a", "last")


@given(NOISE)
def test_no_text_breaks_it(text: str) -> None:
    for take in TAKES:
        score = Exact("Paris", take).check(text, ("Paris",))
        assert score.value in (0.0, 1.0)
        assert score.feedback
    assert len(clipped(text, 20)) <= 20
    unfenced(text)
    last_code(text)


@pytest.mark.parametrize("text", ["answer" + " " * 200_000, "\\boxed{" * 50_000, "{" * 200_000, "Answer:\n" * 50_000])
def test_long_texts_take_no_time(text: str) -> None:
    # A pattern or a search that goes back over the text would run for minutes here.
    assert Exact("Paris").check(text, ("Paris",)).value == 0.0


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("```python\na\n```\ntext\n```\nb\n```", "b"),
        ("~~~\na\n```\nb\n~~~", "a\n```\nb"),
        ("````\n```\na\n```\n````", "```\na\n```"),
        ("```py\ncut off", "cut off"),
        ("```\n```", ""),
        ("none", None),
        ("1. So:\n\n   ```python\n   def f():\n       a\n   ```\n", "def f():\n    a"),
        ("10. So:\n\n    ```\n    if a:\n\n        b\n    ```\n", "if a:\n\n    b"),
        ("\t```\n\ta\n\t```", "a"),
        ("```\na\n    ```\nb\n```", "a\n    ```\nb"),
        ("```\na\n```\n```f()``` returns 1.", "a"),
        ("```\r\na = 'b\u2028c\x0c'\r\nd\r\n```", "a = 'b\u2028c\x0c'\nd"),
    ],
)
def test_the_last_code_block(text: str, code: str | None) -> None:
    assert last_code(text) == code


@pytest.mark.parametrize("text", ["{}", "```json\n{}\n```", "```\n{}```", " {} "])
def test_one_fence_is_taken_off(text: str) -> None:
    assert unfenced(text) == "{}"


def test_regex_is_the_rule() -> None:
    reward = Regex(r"^\d+$")
    assert (scored(reward, "12").value, scored(reward, "x12").value) == (1.0, 0.0)
    hidden = scored(reward, "x").feedback
    assert hidden == "missing: a match for the expected pattern (the answer has no match for it)"
    assert r"/^\d+$/" in str(scored(Regex(r"^\d+$", reveal=True), "x").feedback)
    with pytest.raises(InputError, match="no regular expression"):
        Regex("(")


@given(NOISE)
def test_no_text_breaks_regex(text: str) -> None:
    assert Regex("(a|b)+c").check(text, "(a|b)+c").value in (0.0, 1.0)
