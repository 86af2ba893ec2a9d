"""Tournaments of pairs."""

from __future__ import annotations

import math
from typing import Any

import pytest

from models.server import Received, Respond, error, models, serving
from rewards.judges.kit import chat, comparing, completion, prompt, saying, shown
from tpo.errors import RewardError
from tpo.rewards.judges import PairwiseJudge
from tpo.rewards.protocol import Score, is_relative

WORTH = {"Paris.": 2.0, "Paris, I think.": 1.0, "Lyon?": -1.0, "No idea.": -2.0}


async def tournament(respond: Respond, *answers: str, **options: Any) -> tuple[list[Score], list[list[str]]]:
    """The scores of answers, and the pairs that were shown."""
    async with serving(respond) as server:
        judge = PairwiseJudge(server.url, **options)
        try:
            scores = await judge.score([chat(answer) for answer in answers])
            return scores, [shown(prompt(body)) for body in server.bodies()]
        finally:
            await judge.aclose()


def values(scores: list[Score]) -> list[float]:
    return [score.value for score in scores]


async def test_every_pair_is_shown_both_ways_round() -> None:
    _, asked = await tournament(comparing(lambda text: WORTH[text]), *WORTH)
    assert sorted(asked) == sorted([a, b] for a in WORTH for b in WORTH if a != b)


@pytest.mark.parametrize("mass", [None, 0.9])
async def test_scores_follow_the_verdicts_in_the_order_of_the_answers(mass: float | None) -> None:
    answers = ["Lyon?", "Paris.", "No idea.", "Paris, I think."]
    scores, _ = await tournament(comparing(lambda text: WORTH[text], mass), *answers)
    assert sorted(answers, key=dict(zip(answers, values(scores), strict=True)).__getitem__) == [
        "No idea.",
        "Lyon?",
        "Paris, I think.",
        "Paris.",
    ]
    assert sum(values(scores)) == pytest.approx(0, abs=1e-6)


async def test_probabilities_give_back_log_odds() -> None:
    # The prior pulls a little towards the middle.
    (one, two), _ = await tournament(comparing({"one": 0.3, "two": -0.3}.__getitem__, 0.95), "one", "two")
    assert 0.4 < one.value - two.value < 0.6


async def test_a_leaning_towards_the_first_cancels_and_shows() -> None:
    strength = {"one": 0.2, "two": -0.2}.__getitem__
    (one, two), _ = await tournament(comparing(strength, 1.0, leaning=3.0), "one", "two")
    assert one.value > two.value
    assert one.parts["agreement"] == two.parts["agreement"] < 0.2
    (fair, _), _ = await tournament(comparing(strength, 1.0), "one", "two")
    assert fair.parts["agreement"] == pytest.approx(1.0)


async def test_a_judge_that_sees_only_the_order_has_no_verdict() -> None:
    (one, two), _ = await tournament(saying(lambda asked: completion("A")), "one", "two")
    assert one.value == two.value == 0
    assert one.parts == {"wins": 1.0, "games": 2.0, "agreement": 0.0}


async def test_wins_and_games_are_reported() -> None:
    scores, _ = await tournament(comparing(lambda text: WORTH[text]), *WORTH)
    assert [score.parts["wins"] for score in scores] == [6, 4, 2, 0]
    assert {score.parts["games"] for score in scores} == {6}
    assert {score.parts["agreement"] for score in scores} == {1}
    assert all(score.feedback is None for score in scores)


async def test_half_the_mass_elsewhere_means_that_the_verdict_is_read() -> None:
    (one, _), _ = await tournament(comparing({"one": 0.3, "two": -0.3}.__getitem__, 0.4), "one", "two")
    assert one.parts["wins"] == 2.0


async def test_ties_count_half() -> None:
    (one, two), _ = await tournament(saying(lambda asked: completion("Tie.")), "one", "two")
    assert one.parts == two.parts == {"wins": 1.0, "games": 2.0, "agreement": 1.0}
    assert one.value == two.value == 0


async def test_a_growing_pool_pays_for_new_pairs_only() -> None:
    async with serving(comparing(lambda text: WORTH[text])) as server:
        judge = PairwiseJudge(server.url)
        first = await judge.score([chat(text) for text in list(WORTH)[:3]])
        paid = len(server.bodies())
        again = await judge.score([chat(text) for text in list(WORTH)[:3]])
        assert len(server.bodies()) == paid == 6
        await judge.score([chat(text) for text in WORTH])
        assert len(server.bodies()) == 12
        # The same texts as answers to another question are other answers.
        await judge.score([chat(text, "And of Spain?") for text in list(WORTH)[:2]])
        assert len(server.bodies()) == 14
        await judge.aclose()
    assert first == again


async def test_scores_do_not_depend_on_how_the_pool_grew_or_is_ordered() -> None:
    texts = [f"answer {number}" for number in range(12)]
    strength = {text: number / 4 for number, text in enumerate(texts)}.__getitem__
    async with serving(comparing(strength, 0.9)) as server:
        grown = PairwiseJudge(server.url, opponents=4)
        for count in (3, 7, 12):
            scores = await grown.score([chat(text) for text in texts[:count]])
        fresh = PairwiseJudge(server.url, opponents=4)
        backwards = await fresh.score([chat(text) for text in texts[::-1]])
        await grown.aclose()
        await fresh.aclose()
    assert scores == backwards[::-1]


async def test_a_big_pool_is_compared_sparsely() -> None:
    texts = [f"answer {number}" for number in range(20)]
    strength = {text: number / 2 for number, text in enumerate(texts)}.__getitem__
    scores, asked = await tournament(comparing(strength, 0.95), *texts, opponents=6)
    assert len(asked) == 20 * 6
    assert {score.parts["games"] for score in scores} == {12}
    ranked = values(scores)
    assert ranked == sorted(ranked)


async def test_equal_answers_share_one_score() -> None:
    scores, asked = await tournament(comparing(lambda text: WORTH[text]), "Lyon?", "Paris.", "Lyon?")
    assert len(asked) == 2
    assert scores[0] == scores[2] != scores[1]


async def test_no_verdict_is_no_game() -> None:
    def reply(asked: str) -> bytes:
        first, second = shown(asked)
        return completion("Hm" if "bad" in (first, second) else "A" if first == "one" else "B")

    (one, two, bad), _ = await tournament(saying(reply), "one", "two", "bad")
    assert one.value > two.value
    assert one.parts == {"wins": 2.0, "games": 2.0, "agreement": 1.0}
    assert math.isnan(bad.value)
    assert bad.feedback == "the judge gave no verdict; it replied 'Hm'"


async def test_one_order_without_a_verdict_leaves_the_other() -> None:
    (one, two), _ = await tournament(
        saying(lambda asked: completion("A" if shown(asked)[0] == "one" else "Hm")), "one", "two"
    )
    assert one.value > two.value
    assert one.parts == {"wins": 1.0, "games": 1.0}


async def test_what_does_not_fit_costs_only_itself() -> None:
    def reply(asked: str) -> bytes:
        if "long" in asked:
            return error("request (9031 tokens) exceeds the available context size (8192 tokens)")
        return completion("A" if shown(asked)[0] == "one" else "B")

    (one, two, long), _ = await tournament(saying(reply), "one", "two", "long")
    assert one.value > two.value
    assert math.isnan(long.value)
    assert "8192" in (long.feedback or "")


async def test_what_was_paid_for_before_a_failure_is_kept() -> None:
    broken = True

    def respond(request: Received) -> bytes:
        if request.path == "/v1/models":
            return models("m")
        first, second = shown(prompt(request.json))
        return error("no") if broken and "Lyon?" in (first, second) else comparing(WORTH.__getitem__)(request) or b""

    async with serving(respond) as server:
        judge = PairwiseJudge(server.url, parallel=1)
        pool = [chat(text) for text in ("Paris.", "No idea.", "Lyon?")]
        await judge.score(pool[:2])
        with pytest.raises(RewardError):
            await judge.score(pool)
        broken = False
        before = len(server.bodies())
        await judge.score(pool)
        assert len(server.bodies()) == before + 4
        await judge.aclose()


async def test_small_pools() -> None:
    assert await tournament(comparing(lambda text: 0)) == ([], [])
    assert await tournament(comparing(lambda text: 0), "alone") == ([Score(0.0, {"wins": 0.0, "games": 0.0})], [])


async def test_answers_to_different_questions_are_not_compared() -> None:
    judge = PairwiseJudge("http://127.0.0.1:9")
    with pytest.raises(RewardError, match="different"):
        await judge.score([chat("Paris."), chat("Madrid.", "And of Spain?")])


async def test_it_ranks_pools_and_its_name_has_its_options() -> None:
    async with serving(lambda request: models("m")) as server:
        judge = PairwiseJudge(server.url, opponents=4, logprobs=False)
        assert is_relative(judge)
        await judge.connect()
        await judge.aclose()
    assert judge.name == (
        f"judge:m@{server.url}?kind=pairwise&logprobs=false&max_tokens=8&opponents=4&wording={judge.wording.digest}"
    )
