"""Grades as judges write them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tpo.errors import InputError
from tpo.rewards.judges.grades import ReadGrade, Scale, critique_in, read_grade

TEN = Scale()


@pytest.mark.parametrize(
    ("reply", "grade"),
    [
        ("7", 7),
        (" 7\n", 7),
        ("7.", 7),
        ("10", 10),
        ("1", 1),
        ("**7**", 7),
        ("7.5", 7.5),
        ("7,5", 7.5),
        ("8/10", 8),
        ("8 / 10.", 8),
        ("**8**/10", 8),
        ("8 out of 10", 8),
        ("I would give it an 8 out of 10, for 3 reasons", 8),
        ("It gets 3/4 of the facts right. 6", 6),
        ("Score: 7", 7),
        ("score = 7", 7),
        ("**Score:** 7/10", 7),
        ("Grade (1-10): 7", 7),
        ("## Grade\n\n**8**", 8),
        ("Score - 7", 7),
        ("The rating for this answer is 9.", 9),
        ("Grade: 8. Two more sources would make it a 10.", 8),
        ("Clarity score: 4\nOverall score: 9\nWords: 3", 9),
        ("On a scale of 1 to 10, I give it 6", 6),
        ("I rate this 6 on a scale from 1 to 10", 6),
        ("6 (scale: 1–10)", 6),
        ('{"score": 7, "critique": "It has 3 flaws."}', 7),
        ('{"critique": "It has 3 flaws.", "rating": "7"}', 7),
        ("<score>7</score>", 7),
        ("[[7]]", 7),
        ("1. It is short.\n2. It is right.\n\n5", 5),
        ("The answer lists 3 capitals, of which 2 are right: 4", 4),
        ("评分：7", 7),
    ],
)
def test_a_grade_is_found(reply: str, grade: float) -> None:
    assert read_grade(reply, TEN).value == grade


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ("", "no grade"),
        ("Good.", "no grade"),
        ("seven", "no grade"),
        ("From 1 to 10.", "no grade"),
        ("11", "grade 11 is not from 1 to 10"),
        ("0", "grade 0 is not from 1 to 10"),
        ("Score: -3", "grade -3 is not"),
        ("4/5", "graded out of 5, not 10"),
        ("4 out of 5", "graded out of 5, not 10"),
        ("Score: 85/100", "graded out of 100, not 10"),
        ("9" * 5000, "grade inf is not"),
        ("7/" + "9" * 5000, "graded out of inf"),
    ],
)
def test_what_is_no_grade_has_a_reason(reply: str, problem: str) -> None:
    grade = read_grade(reply, TEN)
    assert math.isnan(grade.value)
    assert problem in (grade.problem or "")


def test_the_number_s_place_is_reported() -> None:
    text = "Fine, by 3 measures.\nGrade: **10**/10"
    grade = read_grade(text, TEN)
    assert grade.start is not None
    assert text[grade.start : grade.end] == "10**/10"


_PIECES = [
    "score",
    "Grade:",
    "is",
    "/10",
    "out of",
    "1 to 10",
    "{",
    '"',
    "**",
    "-",
    ".",
    ",",
    "\n",
    " ",
    "7",
    "10",
    "٧",
    "²",
]


@settings(deadline=None)
@given(st.one_of(st.text(), st.lists(st.sampled_from(_PIECES), max_size=30).map("".join)))
def test_junk_never_raises(reply: str) -> None:
    grade = read_grade(reply, TEN)
    assert math.isnan(grade.value) == (grade.problem is not None)
    assert math.isnan(grade.value) or 1 <= grade.value <= 10
    critique_in(reply, grade)


@settings(deadline=None)
@given(st.integers(0, 100), st.sampled_from(["{}", "Score: {}", "**{}**", "{}/100", "I think\n\nGrade: {}\n"]))
def test_any_grade_on_the_scale_is_read(value: int, form: str) -> None:
    assert read_grade(form.format(value), Scale(0, 100)).value == value


@pytest.mark.parametrize(
    ("reply", "critique"),
    [
        ("It is wrong.\nGrade: 2", "It is wrong."),
        ("Critique: It is wrong.\n\n**Grade: 2/10**", "It is wrong."),
        ("**Critique:** It is wrong.\nGrade: 2", "It is wrong."),
        ("Grade: 2\nIt is wrong.", "It is wrong."),
        ("It is wrong. Score: 2/10", "It is wrong."),
        ("It is wrong. My overall grade for this answer is **2**.", "It is wrong."),
        ("It is wrong, so I have to give it a 2.", "It is wrong, so I have to give it a 2."),
        ('{"critique": "It is wrong.", "score": 2}', "It is wrong."),
        ('```json\n{"score": "2", "critique": "It is wrong."}\n```', "It is wrong."),
        ('It says {"a": 1}, which is wrong.\nGrade: 2', 'It says {"a": 1}, which is wrong.'),
        ("It is wrong.", "It is wrong."),
        ("Grade: 2", None),
        ('{"score": 2}', None),
        ("", None),
    ],
)
def test_the_critique_is_what_stands_beside_the_grade(reply: str, critique: str | None) -> None:
    assert critique_in(reply, read_grade(reply, TEN)) == critique


@pytest.mark.parametrize(("text", "scale"), [("10", (1, 10)), ("5", (1, 5)), ("0-4", (0, 4)), ("1–7", (1, 7))])
def test_scales(text: str, scale: tuple[int, int]) -> None:
    assert Scale.parse(text) == scale


@pytest.mark.parametrize("text", ["", "ten", "1", "5-1", "0-101", "-5", "1-2-3", "1e2"])
def test_no_scales(text: str) -> None:
    with pytest.raises(InputError, match="scale="):
        Scale.parse(text)


def test_a_grade_without_a_number_has_no_place() -> None:
    assert read_grade("none", TEN)[1:3] == ReadGrade(math.nan)[1:3] == (None, None)
