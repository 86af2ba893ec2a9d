"""MATH-500: every reference is right in every form it may be given, and none when it is changed."""

from __future__ import annotations

import json
import re

import pytest

pytest.importorskip("math_verify", reason="math-verify is not installed (pip install 'tpo[verifiers]')")

from evals.kit import data
from tpo.rewards.verifiers.maths import Math, math_answer


@pytest.fixture(scope="module")
def grader() -> Math:
    return Math("0")


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    return [json.loads(line) for line in data("math500/math500.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    ("solution", "found"),
    [
        (r"Thus \boxed{1} or rather \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        ("Answer: 3", "3"),
        ("We see it.\nThe answer is 42.", "42"),
        ("So the final answer is $x = 3.5$.", "$x = 3.5$"),
        ("The answer is 3.5. Now check it.", "3.5"),
        ("The answer is 2. No wait.\nThe answer is: 7", "7"),
        ("the answer equals 12!", "12"),
        ("It is 12.", "12"),
        ("", None),
    ],
)
def test_what_counts_as_the_final_answer(solution: str, found: str | None) -> None:
    assert math_answer(solution) == found


def test_every_reference_agrees_with_itself_and_with_its_solution(grader: Math, rows: list[dict[str, str]]) -> None:
    assert len(rows) == 500
    forms = ["{}", "boxed", "solution"]
    wrong = []
    for row in rows:
        answer = row["answer"]
        for form, solution in zip(
            forms, (f"The answer is ${answer}$.", f"\\boxed{{{answer}}}", row["solution"]), strict=True
        ):
            if not grader.grade(solution, (answer,)).right:
                wrong.append((row["id"], form, answer))
    assert wrong == []


def perturbed(answer: str) -> str:
    """The answer with its last digit raised, its sign turned, or another word."""
    digits = list(re.finditer(r"\d", answer.split("\\mbox")[0]))  # the power of a unit is no part of the number
    if digits:
        last = digits[-1]
        return f"{answer[: last.start()]}{(int(last[0]) + 1) % 10}{answer[last.end() :]}"
    if "\\text" in answer or re.fullmatch(r"[A-Za-z ]{2,}", answer):
        return r"\text{neither}"
    return f"-({answer})" if not answer.startswith("-") else answer[1:]


def test_a_changed_reference_is_wrong(grader: Math, rows: list[dict[str, str]]) -> None:
    answers = [row["answer"] for row in rows]
    taken = [answer for answer in answers if grader.grade(f"\\boxed{{{perturbed(answer)}}}", (answer,)).right]
    assert taken == []


@pytest.mark.parametrize(
    ("found", "reference", "right"),
    [
        ("52_9", "52_8", False),
        (r"52_{\text{9}}", "52_8", False),
        ("52_{8}", "52_8", True),
        ("52", "52_8", True),
        ("4210_{6}", "4210_{5}", False),
        (".0000673", ".0000672", False),
        ("0.00006720", ".0000672", True),
        (r"6.72 \times 10^{-5}", ".0000672", True),
        ("0.333333", r"\frac{1}{3}", True),
    ],
)
def test_what_math_verify_lets_pass(grader: Math, found: str, reference: str, right: bool) -> None:
    assert grader.grade(f"It is $\\boxed{{{found}}}$.", (reference,)).right is right


def test_the_verdict_names_what_was_found(grader: Math) -> None:
    assert grader.grade("I guess 7", ("7",)) == (True, "7", None)
    wrong = grader.grade("The answer is 8.", ("7",))
    assert (wrong.right, wrong.found) == (False, "8")
    assert "wrong" in str(wrong.fault)
    assert not grader.grade("", ("7",)).right
