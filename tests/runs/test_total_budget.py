"""One budget for all queries of a run: its rounds by hand, what it gains, and the same decisions whatever happens."""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from fakes import FakeModel, FakeReward, said
from runs.kit import Breaker, make_run, reported
from tpo.engine.records import Sampled
from tpo.errors import InputError, ModelError, ModelUnavailable
from tpo.http.retry import LONGEST_WAIT
from tpo.models.protocol import Request
from tpo.runs.answers import Answer, read_answers
from tpo.runs.store import read_lines
from tpo.runs.total_budget import QueryAccount, TotalBudget, next_round

EASY, HARD = "easy", "hard"
QUESTIONS = [f"{EASY if number % 2 else HARD} question {number}" for number in range(8)]
WORDS = 5


def account(*rewards: float, tokens: int = 10, waves: int = 1) -> QueryAccount:
    """So many answers of so many tokens each."""
    return QueryAccount(rewards, tokens * len(rewards), len(rewards), waves)


def test_the_worth_of_an_answer_by_hand() -> None:
    # The stop rule's example: the next reward exceeds .8 by .0343 on average. Of that, what lies above 1 counts not:
    # scale .2683, u = -1.863, T = .0607, pdf = .0780, so -.5 * .0607 + .2683 * (5 + 3.472) / 4 * .0780 = .0140.
    assert account(0.2, 0.4, 0.6, 0.8).worth(1.0) == pytest.approx((0.0343 - 0.0140) / 10, abs=1e-5)
    # Twice the tokens, half the worth.
    assert account(0.2, 0.4, 0.6, 0.8, tokens=20).worth(1.0) == pytest.approx((0.0343 - 0.0140) / 20, abs=1e-5)


def test_a_query_of_which_nothing_is_known_comes_first() -> None:
    assert account().worth(1.0) == account(1.0, 2.0).worth(None) == float("inf")
    assert next_round({1: account(0.1, 0.9, 0.5), 2: account(1.0, 2.0)}, 1000) == [2, 1]


def test_equal_rewards_without_a_maximum_are_believed_to_vary_as_in_the_other_queries() -> None:
    flat = account(2.0, 2.0, 2.0)
    assert flat.worth(None) == 0
    # One degree of the others' variance .16, three of none: .04; k = 4, so the scale is sqrt(.04 * 5/4) = .2236. At the
    # mean, Student's density with 4 degrees is .375, and the gain .2236 * 4/3 * .375 = .1118.
    assert flat.worth(None, 0.16) == pytest.approx(0.1118 / 10, abs=1e-5)
    # It takes part in a round beside a query that varies, and its worth falls with each answer that says the same.
    assert next_round({0: account(0.1, 0.9, 0.5), 1: flat}, 1000) == [1, 0]
    assert account(*[2.0] * 9).worth(None, 0.16) < 0.6 * flat.worth(None, 0.16)
    # A reward that gives all answers of all queries the same has nothing to spend tokens on.
    assert next_round({0: flat, 1: account(1.0, 1.0, 1.0)}, 1000) == []


def test_a_round_plans_half_of_what_is_left_and_begins_nothing_that_does_not_fit() -> None:
    # All alike: the order of the rows decides. A wave of each is expected to take 30 tokens.
    waiting = {row: account(0.1, 0.9, 0.5) for row in range(6)}
    assert next_round(waiting, 1000) == [0, 1, 2, 3, 4, 5]
    assert next_round(waiting, 120) == [0, 1]  # 30 planned are less than 60, 60 are not
    assert next_round(waiting, 45) == [0]
    assert next_round(waiting, 30) == [0]
    assert next_round(waiting, 29) == []
    # A dear query is passed over for one that fits.
    assert next_round({0: account(0.0, 9.0, 5.0, tokens=20), 1: account(0.1, 0.9, 0.5)}, 50) == [1]


def test_a_query_with_much_to_gain_is_planned_more_than_once_before_one_with_little() -> None:
    # Three answers each, so that further waves of three are worth 4/4, 4/7, 4/10, 4/13 … of the next answer.
    much, little = account(0.0, 9.0, 5.0), account(0.0, 3.0, 5 / 3)  # a third of the gain
    assert little.worth(None) == pytest.approx(much.worth(None) / 3)
    # Planned are 4/4, 4/7, 4/10 of the first, then 1/3 of the second is more than 4/13.
    assert next_round({0: much, 1: little}, 6 * 30) == [0]
    assert next_round({0: much, 1: little}, 8 * 30) == [0, 1]


async def test_a_perfect_check_takes_one_and_two_answers_to_even_chances() -> None:
    # Chances 1 and 1/2, one answer a wave: 1/1 + 1/(1/2) = 3 answers are expected (arXiv 2506.12721).
    chance, drawn, runs = random.Random(1), 0, 400
    for _ in range(runs):
        shared = TotalBudget(1000, 2, 1.0)

        async def search(row: int, rate: float, shared: TotalBudget = shared) -> int:
            rewards: list[float] = []
            while True:
                rewards.append(float(chance.random() < rate))
                if rewards[-1] == 1:
                    shared.over(row, 10 * len(rewards))
                    return len(rewards)
                if not await shared.may_go_on(row, account(*rewards, waves=len(rewards))):
                    raise AssertionError("the budget is large enough")

        drawn += sum(await asyncio.gather(search(0, 1.0), search(1, 0.5)))
    assert drawn / runs == pytest.approx(3, abs=0.25)


def scripted(row: int) -> list[float]:
    """Rewards of a query's waves of two: even rows always say the same, odd ones rise by chance."""
    chance = random.Random(row)
    return [0.5 + (chance.random() if row % 2 else chance.random() / 1000) for _ in range(40)]


async def rounds(order: random.Random, tokens: int) -> dict[int, int]:
    """How many waves each of ten queries gets, where searches reach their pauses in some order."""
    shared = TotalBudget(tokens, 10, None)

    async def search(row: int) -> int:
        for waves in range(1, 20):
            for _ in range(order.randrange(5)):
                await asyncio.sleep(0)
            rewards = scripted(row)[: 2 * waves]
            if not await shared.may_go_on(row, QueryAccount(tuple(rewards), 20 * waves, 2 * waves, waves)):
                break
        shared.over(row, 20 * waves)
        return waves

    return dict(enumerate(await asyncio.gather(*map(search, range(10)))))


async def test_the_order_in_which_searches_pause_decides_nothing() -> None:
    first = await rounds(random.Random(0), 800)
    assert all([await rounds(random.Random(seed), 800) == first for seed in range(1, 30)])
    # Every query gets a second wave, since two rewards show no spread; then those with a spread get the rest.
    assert all(waves == 2 for row, waves in first.items() if row % 2 == 0)
    assert all(waves > 2 for row, waves in first.items() if row % 2)
    assert 20 * sum(first.values()) <= 800


# From here on with the real runner: answers of five words, whose rewards depend on the question and the seed alone.


def answer(request: Request, index: int) -> str:
    mark = hashlib.blake2b(f"{said(request)}/{request.seed}/{index}".encode(), digest_size=4).hexdigest()
    return f"{said(request).split()[0]} answer of {WORDS} {mark}"


def reward(text: str) -> float:
    kind, *_, mark = text.split()
    spread = int(mark, 16) / 2**32
    return spread if kind == HARD else 0.5 + spread / 100


HOW: dict[str, Any] = {"method": "best-of-n", "width": 20, "settings": {"wave": 2}}
# 64 answers for eight queries: eight each, where all get the same.
BUDGET = 64 * WORDS


async def run(folder: Path, watcher: Any = None, model: FakeModel | None = None, **options: Any) -> Path:
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240 -- nothing else runs meanwhile
    return await make_run(
        folder, QUESTIONS, model or FakeModel(answer), FakeReward(reward), watcher, **{**HOW, **options}
    )


def essence(path: Path) -> dict[str, Any]:
    def of(one: Answer) -> tuple[Any, ...]:
        return one.answer, one.reward, one.steps, one.stop, one.usage["policy"].calls

    return {one.id: of(one) for one in read_answers(path / "answers.jsonl")}


def drawn(path: Path) -> dict[str, set[tuple[int, int]]]:
    """The places of the answers that were drawn, by query."""
    places: dict[str, set[tuple[int, int]]] = {}
    for line in read_lines(path / "journal.jsonl", lambda key: True):
        if isinstance(line.record, Sampled):
            places.setdefault(line.key, set()).add((line.record.turn, line.record.index))
    return places


async def test_it_beats_equal_shares_where_queries_differ(tmp_path: Path) -> None:
    # Answers to every second question are nearly all alike, so the budget goes to the others.
    shared = await run(tmp_path / "shared", total_budget_tokens=BUDGET)
    equal = await run(tmp_path / "equal", width=8)
    rewards, tokens = [], []
    for path in (shared, equal):
        answers = list(read_answers(path / "answers.jsonl"))
        rewards.append(sum(one.reward or 0.0 for one in answers))
        tokens.append(sum(one.usage["policy"].completion_tokens for one in answers))
    assert tokens[0] <= tokens[1] == BUDGET
    assert rewards[0] > rewards[1]
    calls = {one.id: one.usage["policy"].calls for one in read_answers(shared / "answers.jsonl")}
    assert all(calls[f"q{number}"] == 4 for number in range(8) if number % 2)
    assert sum(calls[f"q{number}"] for number in range(0, 8, 2)) == 64 - 4 * 4
    assert {one.stop for one in read_answers(shared / "answers.jsonl")} == {"budget"}


@pytest.mark.parametrize("concurrency", [1, 3, 64])
async def test_concurrency_decides_nothing(tmp_path: Path, concurrency: int) -> None:
    whole = await run(tmp_path / "whole", total_budget_tokens=BUDGET)
    other = await run(tmp_path / "other", total_budget_tokens=BUDGET, concurrency=concurrency)
    assert essence(other) == essence(whole)


async def test_after_a_kill_at_any_moment_the_decisions_are_the_same(tmp_path: Path) -> None:
    whole = await run(tmp_path / "whole", total_budget_tokens=BUDGET)
    lines = (whole / "journal.jsonl").read_bytes().splitlines(keepends=True)
    answers = (whole / "answers.jsonl").read_bytes().splitlines(keepends=True)
    ended = [number for number, line in enumerate(lines) if b'"record":"ended"' in line]
    for kept in [*range(1, len(lines), len(lines) // 5), ended[0] + 1, ended[3] + 1]:
        folder = tmp_path / f"cut-{kept}"
        shutil.copytree(whole.parent, folder)
        (folder / "run" / "journal.jsonl").write_bytes(b"".join(lines[:kept]))
        # The process was killed before it wrote the answer to the query that ended last.
        over = sum(number < kept for number in ended)
        (folder / "run" / "answers.jsonl").write_bytes(b"".join(answers[: max(over - 1, 0)]))
        model = FakeModel(answer)
        path = await run(folder, model=model, total_budget_tokens=BUDGET)
        assert drawn(path) == drawn(whole)
        assert {id: one[:4] for id, one in essence(path).items()} == {id: one[:4] for id, one in essence(whole).items()}
        known = sum(b'"record":"sampled"' in line for line in lines[:kept])
        assert len(model.requests) == sum(map(len, drawn(whole).values())) - known


async def test_an_answer_that_failed_before_a_pause_is_not_tried_again(tmp_path: Path) -> None:
    def sometimes(request: Request, index: int) -> str | ModelError:
        half = "question 0" in said(request) and (request.seed or 0) % 2
        return ModelUnavailable("no answer", retry_after=LONGEST_WAIT + 1) if half else answer(request, index)

    def failures(path: Path) -> list[tuple[int, int]]:
        records = [line.record for line in read_lines(path / "journal.jsonl", lambda key: True)]
        return [(one.turn, one.index) for one in records if isinstance(one, Sampled) and one.error is not None]

    path = await run(tmp_path / "run", Breaker(1), FakeModel(sometimes), width=60, total_budget_tokens=BUDGET)
    before = failures(path)
    assert before
    (path / "answers.jsonl").unlink()
    await run(tmp_path / "run", width=60, total_budget_tokens=BUDGET)
    assert failures(path) == before
    answers = {one.id: one for one in read_answers(path / "answers.jsonl")}
    assert len(answers) == 8
    assert answers["q0"].usage["policy"].calls == 2 * len(before)


async def test_a_query_that_fails_leaves_its_share_to_the_others(tmp_path: Path) -> None:
    def but_one(request: Request, index: int) -> str | ModelError:
        return ModelError("it refuses") if "question 4" in said(request) else answer(request, index)

    path = await run(tmp_path / "run", model=FakeModel(but_one), total_budget_tokens=BUDGET)
    answers = list(read_answers(path / "answers.jsonl"))
    assert [one.id for one in answers if one.error] == ["q4"]
    assert 0.8 * BUDGET < sum(one.usage["policy"].completion_tokens for one in answers if one.usage) <= BUDGET


@pytest.mark.parametrize("select", ["soft", "hedged", "mbr", "majority", "knockout"])
async def test_the_selection_rule_chooses_when_the_budget_is_spent(tmp_path: Path, select: str) -> None:
    path = await run(tmp_path / "run", total_budget_tokens=BUDGET, select=select)
    answers = list(read_answers(path / "answers.jsonl"))
    assert len(answers) == 8
    assert {one.stop for one in answers} == {"budget"}
    if select == "knockout":
        assert all(one.usage["critic"].calls for one in answers)


async def test_a_search_that_has_drawn_all_its_answers_chooses_without_a_share_of_the_budget(tmp_path: Path) -> None:
    notes: list[str] = []
    watcher = Breaker(100)
    watcher.note = notes.append
    options: dict[str, Any] = {"width": 4, "settings": {}, "select": "knockout"}
    path = await run(tmp_path / "run", watcher, total_budget_tokens=1, **options)
    answers = list(read_answers(path / "answers.jsonl"))
    assert {one.stop for one in answers} == {"depth"}
    assert all(one.usage["critic"].calls for one in answers)
    assert "all in first waves" in notes[-1]
    assert essence(await run(tmp_path / "run", total_budget_tokens=1, **options)) == essence(path)


async def test_methods_with_critics_pause_before_the_critique(tmp_path: Path) -> None:
    options: dict[str, Any] = {"method": "tpo", "width": 2, "depth": 3, "settings": {}}
    path = await run(tmp_path / "run", total_budget_tokens=BUDGET, **options)
    answers = list(read_answers(path / "answers.jsonl"))
    assert {one.error for one in answers} == {None}
    assert {one.usage["critic"].calls for one in answers if "critic" in one.usage} <= {2, 4, 6}


async def test_one_token_is_the_first_wave_of_every_query(tmp_path: Path) -> None:
    notes: list[str] = []
    watcher = Breaker(100)
    watcher.note = notes.append
    path = await run(tmp_path / "run", watcher, total_budget_tokens=1)
    assert {one.usage["policy"].calls for one in read_answers(path / "answers.jsonl")} == {2}
    assert notes[-1] == (
        f"{16 * WORDS} of 1 completion tokens of the total budget were spent; 8 searches would have drawn more."
    )


async def test_another_budget_is_another_run_and_none_is_as_before(tmp_path: Path) -> None:
    await run(tmp_path / "run", total_budget_tokens=BUDGET)
    with pytest.raises(InputError, match=f"total_budget_tokens was {BUDGET} and is 7"):
        await run(tmp_path / "run", total_budget_tokens=7)
    with pytest.raises(InputError, match=f"total_budget_tokens was {BUDGET} and is not set"):
        await run(tmp_path / "run")
    assert (await reported(tmp_path / "run", QUESTIONS, **HOW, total_budget_tokens=BUDGET)).idle


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"budget_seconds": 5.0}, "exclude each other"),
        ({"method": "sample", "settings": {}}, "sample has no reward"),
        ({"total_budget_tokens": 0}, "total-budget-tokens is 0"),
    ],
)
async def test_what_does_not_go_together_is_refused(tmp_path: Path, options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        await run(tmp_path / "run", **{"total_budget_tokens": BUDGET, **options})
    assert not (tmp_path / "run" / "run" / "run.json").exists()
