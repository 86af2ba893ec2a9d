"""The driver on fake backends: what it calls, in which order, and what it makes of the answers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.kit import drive
from fakes import FakeModel, FakeReward, numbered, said
from tpo.engine.events import Event
from tpo.engine.limits import Budget, Clock
from tpo.engine.records import Prompted, Replied, Sampled, Scored
from tpo.engine.scoring import Scorer
from tpo.engine.state import SearchState
from tpo.errors import ModelError, RewardError
from tpo.messages import Conversation, conversation
from tpo.models.profiles import Profile
from tpo.models.protocol import Receiver, Request
from tpo.rewards.call import spend
from tpo.rewards.protocol import Score

ALL_IN_ONE = Profile("test", choices="n", max_choices=4)


async def test_tpo_draws_scores_criticises_and_updates() -> None:
    policy, critic, editor = FakeModel(numbered()), FakeModel(lambda r, i: "words"), FakeModel(numbered("better"))
    result = await drive(policy, critic=critic, editor=editor, width=3, depth=2)
    assert [len(step.candidates) for step in result.steps] == [3, 3, 3]
    assert [step.loss for step in result.steps] == [None, "words", "words"]
    assert [step.gradient for step in result.steps] == [None, "words", "words"]
    assert (len(policy.requests), len(critic.requests), len(editor.requests)) == (3, 4, 6)
    assert result.reward == max(c.reward for c in result.candidates if c.reward is not None)
    assert result.stop == "depth"
    usage = result.usage
    assert (usage["policy"].calls, usage["critic"].calls, usage["editor"].calls, usage["reward"].calls) == (3, 4, 6, 9)
    assert usage["policy"].completion_tokens == sum(c.tokens for c in result.steps[0].candidates) == 6
    assert usage["policy"].prompt_tokens == 30


async def test_sample_needs_no_reward() -> None:
    result = await drive(FakeModel(numbered()), method="sample")
    assert (result.answer, result.reward, result.width, result.depth) == ("answer 1", None, 1, 0)
    assert result.candidates[0].error is None


async def test_candidates_are_scored_as_they_land_and_the_critic_waits_for_the_pool() -> None:
    first_scored = asyncio.Event()

    class Slow(FakeModel):
        async def generate(self, request: Request, receiver: Receiver) -> None:
            if said(request) == "How?" and len(self.requests) == 1:  # the second sample waits for the first score
                self.requests.append(request)
                await first_scored.wait()
            await super().generate(request, receiver)

    def value(text: str) -> float:
        first_scored.set()
        return 1.0

    events: list[Event] = []
    await drive(Slow(numbered()), FakeReward(value), width=2, depth=1, events=events)
    kinds = [type(event) for event in events if isinstance(event, Sampled | Scored | Prompted | Replied)]
    assert kinds[:6] == [Prompted, Sampled, Scored, Sampled, Scored, Prompted]


async def test_separate_samples_run_at_once() -> None:
    model = FakeModel(numbered())
    await drive(model, method="best-of-n", width=8)
    assert model.most_live == 8
    assert {request.n for request in model.requests} == {1}


async def test_one_request_carries_as_many_choices_as_the_profile_allows() -> None:
    model = FakeModel(numbered(), profile=ALL_IN_ONE)
    result = await drive(model, method="best-of-n", width=10, seed=5)
    assert [request.n for request in model.requests] == [4, 4, 2]
    assert model.most_live == 1
    seeds = [request.seed for request in model.requests]
    assert seeds[0] is not None
    assert seeds == [seeds[0], seeds[0] + 4, seeds[0] + 8]
    assert [c.id for c in result.candidates] == [f"0.{i}" for i in range(10)]


@pytest.mark.parametrize("most", [1, 3])
async def test_choices_that_a_server_kept_back_are_asked_for_again(most: int) -> None:
    model = FakeModel(numbered(), profile=ALL_IN_ONE, most=most)
    result = await drive(model, method="best-of-n", width=4)
    assert len(result.candidates) == 4
    assert all(c.reward is not None for c in result.candidates)
    assert [request.n for request in model.requests] == [4] + [1] * (4 - most)


async def test_more_choices_than_asked_for_are_left_alone() -> None:
    class Generous(FakeModel):
        async def generate(self, request: Request, receiver: Receiver) -> None:
            self.requests.append(request)
            await FakeModel(self.answer).generate(Request(request.messages, n=request.n + 3), receiver)

    result = await drive(Generous(numbered()), method="best-of-n", width=2)
    assert len(result.candidates) == 2


async def test_a_server_without_any_choice_is_no_endless_loop() -> None:
    with pytest.raises(ModelError, match="without the choice"):
        await drive(FakeModel(numbered(), most=0), method="best-of-n")


async def test_seeds_differ_by_place_and_repeat_with_the_run() -> None:
    runs = []
    for _ in range(2):
        model = FakeModel(numbered())
        await drive(model, seed=7)
        runs.append([request.seed for request in model.requests])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == len(runs[0]) == 13
    other = FakeModel(numbered())
    await drive(other, seed=8)
    assert not set(runs[0]) & {request.seed for request in other.requests}


async def test_no_seed_is_sent_without_one_or_where_it_does_harm() -> None:
    unseeded, harmed = FakeModel(numbered()), FakeModel(numbered(), profile=Profile("frail", seeds=False))
    await drive(unseeded)
    await drive(harmed, seed=7)
    assert {request.seed for request in unseeded.requests + harmed.requests} == {None}


async def test_tasks_are_for_what_runs_side_by_side() -> None:
    """A task costs more of our own time than most of what a call is made of."""
    made = 0

    def counted(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> asyncio.Task[Any]:
        nonlocal made
        made += 1
        return asyncio.Task(work, loop=loop, **more)

    loop = asyncio.get_running_loop()
    loop.set_task_factory(counted)
    try:
        await drive(FakeModel(numbered()), width=1, depth=2)
        assert made == 3  # an answer is scored while others are still being written
        await drive(FakeModel(numbered()), width=3, depth=0)
        assert made == 3 + 3 + 3
    finally:
        loop.set_task_factory(None)


async def test_equal_texts_are_scored_once() -> None:
    reward = FakeReward(lambda text: 1.0)
    result = await drive(FakeModel(lambda r, i: "same"), reward, width=5, depth=3)
    assert reward.scored == ["same"]
    assert [c.reward for c in result.candidates] == [1.0] * 10
    assert result.stop == "converged"


async def test_an_answer_whose_equal_was_cancelled_while_it_was_scored_is_scored_itself() -> None:
    class Slow(FakeReward):
        async def score(self, conversations: Sequence[Conversation]) -> list[float | Score]:
            calls.append(len(conversations))
            if len(calls) == 1:
                begun.set()
                await asyncio.Event().wait()
            return [1.0]

    calls: list[int] = []
    begun = asyncio.Event()
    scorer = Scorer(Slow(lambda text: 1.0), conversation("How?"), SearchState(), Clock(), lambda record: None)
    first, second = (
        asyncio.create_task(scorer.score(Sampled(0, 0, index, 0, f"0.{index}", "same", "stop", 1))) for index in (0, 1)
    )
    await begun.wait()
    first.cancel()
    scored = await second
    assert scored is not None and scored.reward == 1.0
    assert first.cancelled() and calls == [1, 1]


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
async def test_a_reward_that_is_no_number_is_an_error_of_that_candidate_alone(odd: float) -> None:
    result = await drive(FakeModel(numbered()), FakeReward(lambda t: odd if "1" in t else 0.5), width=3, depth=0)
    first, *others = result.candidates
    assert first.reward is None
    assert "no finite number" in (first.error or "")
    assert [c.reward for c in others] == [0.5, 0.5]
    assert result.chosen == "0.1"


async def test_no_reward_at_all_is_an_error_with_the_answers_kept() -> None:
    with pytest.raises(RewardError, match="Not one answer got a reward") as caught:
        await drive(FakeModel(numbered()), FakeReward(lambda t: math.nan), width=2, depth=0)
    assert caught.value.partial is not None
    assert caught.value.partial.answer == "answer 1"


@pytest.mark.parametrize(
    ("value", "complaint"),
    [(ZeroDivisionError("by zero"), "raised ZeroDivisionError: by zero"), (RewardError("it is down"), "it is down")],
)
async def test_a_reward_that_raises_ends_the_run_at_once(value: Exception, complaint: str) -> None:
    never = asyncio.Event()

    class Endless(FakeModel):
        async def generate(self, request: Request, receiver: Receiver) -> None:
            if self.requests:
                self.requests.append(request)
                await never.wait()
            await super().generate(request, receiver)

    with pytest.raises(RewardError, match=complaint):
        await asyncio.wait_for(drive(Endless(numbered()), FakeReward(lambda t: value), width=2), 30)


@pytest.mark.parametrize("scores", [[], [1.0, 2.0], None, ["good"], [True], 1.0])
async def test_a_reward_of_the_wrong_shape_is_reported(scores: object) -> None:
    class Wrong:
        name = "wrong"

        async def score(self, conversations: object) -> object:
            return scores

    with pytest.raises(RewardError, match="reward wrong returned"):
        await drive(FakeModel(numbered()), Wrong())  # type: ignore[arg-type]


async def test_parts_and_feedback_reach_candidates_and_critic() -> None:
    model = FakeModel(numbered())
    reward = FakeReward(lambda t: Score(float(len(t)), {"length": 8.0, "odd": math.nan}, f"found {t}"))
    result = await drive(model, reward, width=2, depth=1)
    assert result.candidates[0].parts == {"length": 8.0}
    assert result.candidates[0].feedback == "found answer 1"
    assert any("found answer 1" in said(request) for request in model.requests)


async def test_what_a_reward_spends_is_counted_and_budgeted() -> None:
    class Judge(FakeReward):
        async def score(self, conversations: Sequence[Conversation]) -> list[Score | float]:
            await asyncio.gather(*[asyncio.to_thread(spend, 10, 4, 2) for _ in conversations])
            return await super().score(conversations)

    result = await drive(FakeModel(numbered()), Judge(lambda t: float(len(t))), width=3, depth=0)
    usage = result.usage["reward"]
    assert (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (30, 12, 6)
    broke = await drive(FakeModel(numbered()), Judge(lambda t: 1.0), width=3, depth=5, budget=Budget(tokens=70))
    assert broke.stop == "budget"
    assert len(broke.steps) == 1


@pytest.mark.parametrize("reply", ["", " \n", "<think>so much to say"])
async def test_a_search_without_any_text_fails_with_its_reason(reply: str) -> None:
    reward, model = FakeReward(lambda t: 1.0), FakeModel(lambda r, i: reply)
    with pytest.raises(ModelError, match=r"No answer can be used \(2 were drawn\): the answer is empty"):
        await drive(model, reward, width=2, depth=3)
    assert reward.scored == []
    # Each of the two is drawn once more, and a critic is not asked about nothing.
    assert [said(request) for request in model.requests] == ["How?"] * 4


async def test_empty_answers_beside_others_get_no_reward() -> None:
    reward, model = FakeReward(lambda t: 1.0), FakeModel(lambda r, i: "" if i else "so", profile=ALL_IN_ONE)
    result = await drive(model, reward, width=2, depth=0, seed=1)
    assert (result.answer, result.reward) == ("so", 1.0)
    assert [c.error for c in result.candidates] == [None, "the answer is empty"]
    assert len(model.requests) == 1  # the same seed would give the same answer


async def test_an_empty_answer_is_drawn_once_more() -> None:
    replies = iter(["", "so", "or so"])
    result = await drive(FakeModel(lambda r, i: next(replies)), FakeReward(len), width=2, depth=0)
    assert sorted(c.text for c in result.candidates) == ["or so", "so"]


QUERIES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system"]), "content": st.text()}), max_size=4
)
JUNK = st.one_of(
    st.just(""),
    st.just("same"),
    st.text(),
    st.sampled_from(
        [
            "<improved_answer>",
            "</improved_answer>",
            "<improved_answer></improved_answer>",
            "<think>",
            "<SEP>",
            "</think>\n",
        ]
    ),
    st.text().map(lambda text: f"<improved_answer>{text}</improved_answer>"),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    history=QUERIES,
    last=st.text().filter(str.strip),
    replies=st.lists(JUNK, min_size=1, max_size=9),
    width=st.integers(1, 3),
)
def test_any_reply_of_a_model_gives_an_answer(
    history: list[dict[str, str]], last: str, replies: list[str], width: int
) -> None:
    count = 0

    def answer(request: Request, index: int) -> str:
        nonlocal count
        count += 1
        return replies[count % len(replies)]

    query = [*history, {"role": "user", "content": last}]
    try:
        result = asyncio.run(drive(FakeModel(answer), query=query, width=width, depth=2))
    except ModelError as error:
        assert "the answer is empty" in str(error)
        return
    assert len(result.steps[0].candidates) == width
    assert result.answer in [c.text for c in result.candidates]
    assert result.answer
    assert result.reward is not None
