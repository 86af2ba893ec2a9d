"""Grades, one answer at a time."""

from __future__ import annotations

import math
from typing import Any

import pytest

from models.server import Respond, error, models, serving
from rewards.judges.kit import chat, completion, prompt, saying, shown
from tpo.errors import RewardError
from tpo.rewards.judges import PointwiseJudge
from tpo.rewards.protocol import Reward, Score, is_relative


async def grades(respond: Respond, *answers: str, **options: Any) -> tuple[list[Score], list[str]]:
    """The scores of answers, and what the judge was asked."""
    async with serving(respond) as server:
        judge = PointwiseJudge(server.url, **options)
        try:
            return await judge.score([chat(answer) for answer in answers]), [prompt(body) for body in server.bodies()]
        finally:
            await judge.aclose()


def always(reply: bytes) -> Respond:
    return saying(lambda asked: reply)


async def test_the_score_is_the_expected_grade() -> None:
    reply = completion("7", ("7", {"7": 0.5, " 8": 0.3, "Good": 0.2}))
    ((score,), (asked,)) = await grades(always(reply), "Paris.")
    assert score.value == pytest.approx((7 * 0.5 + 8 * 0.3) / 0.8)
    assert score.parts == pytest.approx({"grade": 7, "on_grades": 0.8})
    assert score.feedback is None
    assert shown(asked) == ["Paris."]
    assert "What is the capital of France?" in asked
    assert "from 1 (useless) to 10" in asked


async def test_without_probabilities_the_grade_is_read() -> None:
    ((score,), _) = await grades(always(completion("**7**/10")), "Paris.")
    assert score == Score(7.0)


async def test_where_the_mass_is_elsewhere_the_grade_is_read() -> None:
    reply = completion("7", ("7", {"7": 0.3, "I": 0.6}))
    ((score,), _) = await grades(always(reply), "Paris.")
    assert score == Score(7.0)


async def test_the_grade_is_looked_for_where_it_stands() -> None:
    reply = completion(
        "Score: 10", ("Score", {"Score": 0.6, "3": 0.4}), (":", {":": 1}), (" ", {" ": 1}),
        ("1", {"1": 0.9, "9": 0.1}), ("0", {"0": 0.8, "": 0.2}),
    )  # fmt: skip
    ((score,), _) = await grades(always(reply), "Paris.")
    assert score.value == pytest.approx(0.9 * 0.8 * 10 + 0.9 * 0.2 * 1 + 0.1 * 9)


async def test_a_first_word_that_is_no_grade_need_not_hide_what_was_meant() -> None:
    reply = completion("Well", ("Well", {"Well": 0.3, "8": 0.5, "6": 0.2}), finish="length")
    ((score,), _) = await grades(always(reply), "Paris.")
    assert score.value == pytest.approx((8 * 0.5 + 6 * 0.2) / 0.7)


async def test_thinking_holds_no_grade() -> None:
    thought = completion(
        "<think>3 errors?</think>7",
        ("<think>", {"<think>": 1}), ("3", {"3": 1}), (" errors?", {" errors?": 1}), ("</think>", {"</think>": 1}),
        ("7", {"7": 0.6, "6": 0.4}),
    )  # fmt: skip
    ((score,), _) = await grades(always(thought), "Paris.")
    assert score.value == pytest.approx(0.6 * 7 + 0.4 * 6)


async def test_reasoning_that_is_reported_apart_may_be_among_the_tokens() -> None:
    reply = completion("7", ("3", {"3": 1}), ("\n", {"\n": 1}), ("7", {"7": 0.6, "6": 0.4}), reasoning_content="3")
    ((score,), _) = await grades(always(reply), "Paris.")
    assert score.value == pytest.approx(0.6 * 7 + 0.4 * 6)


async def test_decimals_are_taken_as_they_are() -> None:
    reply = completion("7.5", ("7", {"7": 0.9, "8": 0.1}), (".", {".": 1}), ("5", {"5": 1}))
    ((score,), _) = await grades(always(reply), "Paris.")
    assert score.value == 7.5


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (completion("11"), "the judge's grade 11 is not from 1 to 10; it replied '11'"),
        (completion("11", ("11", {"11": 0.4, "10": 0.6})), "the judge's grade 11 is not"),
        (completion("4/5"), "the judge graded out of 5, not 10"),
        (completion("I cannot say."), "the judge gave no grade; it replied 'I cannot say.'"),
        (completion(""), "the judge gave no grade; its reply is empty"),
        (completion("<think>Hm", finish="length"), "all of the judge's 8 tokens went into thinking; raise max_tokens"),
        (completion("", finish="length"), "all of the judge's 8 tokens went into thinking"),
    ],
)
async def test_no_grade_is_nan_with_a_reason(reply: bytes, reason: str) -> None:
    ((score,), _) = await grades(always(reply), "Paris.")
    assert math.isnan(score.value)
    assert reason in (score.feedback or "")


async def test_an_answer_that_does_not_fit_costs_only_itself() -> None:
    def reply(asked: str) -> bytes:
        if "long" in asked:
            return error("request (9031 tokens) exceeds the available context size (8192 tokens)")
        return completion("7")

    (long, short), _ = await grades(saying(reply), "long", "short")
    assert math.isnan(long.value)
    assert "8192" in (long.feedback or "")
    assert short.value == 7


async def test_scores_keep_the_order_of_the_answers() -> None:
    scores, _ = await grades(saying(lambda asked: completion(shown(asked)[0])), *"3715296")
    assert [score.value for score in scores] == [3, 7, 1, 5, 2, 9, 6]


async def test_the_critique_is_the_feedback() -> None:
    said = "It names the city.\nGrade: 8"
    reply = completion(
        said, ("It names the city.", {}), ("\n", {}), ("Grade", {}), (":", {}), (" 8", {" 8": 0.5, " 9": 0.5})
    )
    ((score,), (asked,)) = await grades(always(reply), "Paris.", critique=True)
    assert score.value == pytest.approx(8.5)
    assert score.feedback == "It names the city."
    assert "Grade: NUMBER" in asked


async def test_numbers_in_a_critique_are_no_grades() -> None:
    said = "1 of 3 facts is wrong.\nGrade: 4"
    reply = completion(said, ("1", {"1": 1}), (" of 3 facts is wrong.\nGrade:", {}), (" 4", {" 4": 0.9, " 5": 0.1}))
    ((score,), _) = await grades(always(reply), "Paris.", critique=True)
    assert score.value == pytest.approx(4.1)
    assert score.feedback == "1 of 3 facts is wrong."


async def test_a_critique_without_a_grade_is_no_score() -> None:
    reply = completion("It is", ("It", {"7": 0.9, "It": 0.1}), (" is", {}), finish="length")
    ((score,), _) = await grades(always(reply), "Paris.", critique=True)
    assert math.isnan(score.value)
    assert "no grade" in (score.feedback or "")


async def test_the_scale_is_asked_for_and_used() -> None:
    reply = completion("0", ("0", {"0": 0.5, "4": 0.3, "7": 0.2}))
    ((score,), (asked,)) = await grades(always(reply), "Paris.", scale="0-4")
    assert "from 0 (useless) to 4" in asked
    assert score.value == pytest.approx(0.3 * 4 / 0.8)


async def test_the_history_is_shown_and_the_answer_is_the_last_message_alone() -> None:
    async with serving(saying(lambda asked: completion("7"))) as server:
        judge = PointwiseJudge(server.url)
        history = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "Capital of France?"},
        ]
        await judge.score([[*history, {"role": "assistant", "content": "Paris."}]])
        await judge.aclose()
    asked = prompt(server.bodies()[0])
    assert shown(asked) == ["Paris."]
    for said in ("Be brief.", "Hello", "Capital of France?"):
        assert said in asked


async def test_no_answers_no_calls() -> None:
    assert await grades(always(completion("7"))) == ([], [])


async def test_a_failure_is_raised() -> None:
    def reply(asked: str) -> bytes:
        return error("no") if "two" in asked else completion("7")

    with pytest.raises(RewardError, match="400"):
        await grades(saying(reply), "one", "two", "three")


async def test_it_is_a_reward_for_single_answers_and_its_name_has_what_scores() -> None:
    async with serving(lambda request: models("m")) as server:
        judge = PointwiseJudge(server.url.replace("://", "://me:secret@"), scale="5", critique=True)
        assert isinstance(judge, Reward)
        assert not is_relative(judge)
        assert judge.name.startswith("judge@")
        await judge.connect()
        await judge.aclose()
    assert judge.name == (
        f"judge:m@{server.url}?critique=true&kind=pointwise&max_tokens=512&scale=1-5&wording={judge.wording.digest}"
    )
