"""Tournaments of lists."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from models.server import Respond, error, serving
from rewards.judges.kit import chat, completion, prompt, saying, shown
from tpo.errors import RewardError
from tpo.rewards.judges import ListwiseJudge
from tpo.rewards.judges.listwise import LETTERS
from tpo.rewards.protocol import Score, is_relative


async def tournament(respond: Respond, *answers: str, **options: Any) -> tuple[list[Score], list[list[str]]]:
    """The scores of answers, and the lists that were shown."""
    async with serving(respond) as server:
        judge = ListwiseJudge(server.url, **options)
        try:
            scores = await judge.score([chat(answer) for answer in answers])
            return scores, [shown(prompt(body)) for body in server.bodies()]
        finally:
            await judge.aclose()


def ranking(worth: Callable[[str], float]) -> Respond:
    """A judge that knows what each answer is worth."""

    def reply(asked: str) -> bytes:
        answers = shown(asked)
        order = sorted(range(len(answers)), key=lambda place: -worth(answers[place]))
        return completion(" > ".join(LETTERS[place] for place in order))

    return saying(reply)


async def test_scores_follow_the_rankings_in_the_order_of_the_answers() -> None:
    scores, asked = await tournament(ranking(float), "3", "1", "4", "2")
    assert sorted(range(4), key=lambda i: scores[i].value) == [1, 3, 0, 2]
    assert len(asked) == 4
    assert asked[1] == asked[0][::-1]
    assert all(sorted(one) == ["1", "2", "3", "4"] for one in asked)


async def test_lists_of_a_big_pool_are_joined_into_one_scale() -> None:
    texts = [str(number) for number in range(20)]
    scores, asked = await tournament(ranking(float), *texts, size=6, rounds=6)
    assert len(asked) == 4 * 6
    assert max(map(len, asked)) == 5
    ranked = sorted(range(20), key=lambda i: scores[i].value)
    # Lists are few, so that neighbours may change places, and no more.
    assert max(abs(place - one) for place, one in enumerate(ranked)) <= 3


async def test_what_the_trace_shows() -> None:
    scores, _ = await tournament(ranking(float), "1", "2", "3")
    assert [score.parts for score in scores] == [
        {"lists": 4.0, "beaten": 0.0, "agreement": 1.0},
        {"lists": 4.0, "beaten": 0.5, "agreement": 1.0},
        {"lists": 4.0, "beaten": 1.0, "agreement": 1.0},
    ]


async def test_a_judge_that_sees_only_the_order_has_no_verdict() -> None:
    scores, _ = await tournament(saying(lambda asked: completion("A > B > C")), "1", "2", "3")
    assert [score.value for score in scores] == pytest.approx([0, 0, 0], abs=0.5)
    assert {score.parts["agreement"] for score in scores} == {0.0}


async def test_the_letters_of_the_question_are_those_of_the_reply() -> None:
    async with serving(ranking(float)) as server:
        judge = ListwiseJudge(server.url, rounds=1)
        await judge.score([chat("1"), chat("2")])
        await judge.aclose()
    asked = prompt(server.bodies()[0])
    first, second = shown(asked)
    assert f"Answer A:\n<answer>\n{first}" in asked
    assert f"Answer B:\n<answer>\n{second}" in asked
    assert "Rank these 2 answers" in asked


async def test_the_same_pool_is_not_paid_for_twice() -> None:
    async with serving(ranking(float)) as server:
        judge = ListwiseJudge(server.url)
        first = await judge.score([chat(text) for text in "312"])
        second = await judge.score([chat(text) for text in "231"])
        await judge.aclose()
    assert len(server.bodies()) == 4
    assert first == [second[1], second[2], second[0]]


async def test_who_is_left_out_of_a_ranking_is_not_thereby_worse() -> None:
    def reply(asked: str) -> bytes:
        answers = shown(asked)
        order = [LETTERS[answers.index(text)] for text in ("good", "bad")]
        return completion(" > ".join(order))

    (good, bad, absent), _ = await tournament(saying(reply), "good", "bad", "absent")
    assert good.value > bad.value
    assert math.isnan(absent.value)
    assert "left it out" in (absent.feedback or "")


async def test_no_ranking_is_nan_with_a_reason() -> None:
    scores, _ = await tournament(saying(lambda asked: completion("I cannot.")), "1", "2")
    assert all(math.isnan(score.value) for score in scores)
    assert scores[0].feedback == "the judge gave no ranking; it replied 'I cannot.'"


async def test_lists_that_do_not_fit_are_reported() -> None:
    said = error("request (9031 tokens) exceeds the available context size (8192 tokens)")
    scores, _ = await tournament(saying(lambda asked: said), "1", "2")
    assert "8192" in (scores[0].feedback or "")


async def test_small_and_equal_pools() -> None:
    assert await tournament(ranking(float)) == ([], [])
    assert await tournament(ranking(float), "1") == ([Score(0.0, {"lists": 0.0})], [])
    scores, asked = await tournament(ranking(float), "1", "2", "1")
    assert scores[0] == scores[2]
    assert {len(one) for one in asked} == {2}


async def test_answers_to_different_questions_are_not_compared() -> None:
    judge = ListwiseJudge("http://127.0.0.1:9")
    with pytest.raises(RewardError, match="different"):
        await judge.score([chat("Paris."), chat("Madrid.", "And of Spain?")])


def test_it_ranks_pools_and_its_name_has_its_options() -> None:
    judge = ListwiseJudge("http://127.0.0.1:9", model="m", size=5, rounds=2)
    assert is_relative(judge)
    assert judge.name == (
        f"judge:m@http://127.0.0.1:9/v1?kind=listwise&max_tokens=36&rounds=2&size=5&wording={judge.wording.digest}"
    )
