"""What a method may yield besides plain samples and questions, and that replay pays for nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.kit import drive
from fakes import FakeModel, FakeReward
from tpo.engine.calls import TAG_TOKENS
from tpo.engine.journal import Journal
from tpo.messages import Conversation
from tpo.methods import Ask, Outcome, Reply, Sample, ScoreTexts, Search, register, registry
from tpo.models.profiles import Profile
from tpo.models.protocol import Request
from tpo.prompts import PromptSet

SEEN: list[Any] = []


def every_action(query: Conversation, *, width: int, prompts: PromptSet) -> Search:
    """Use each action once."""
    answer = prompts.render("answer", query)
    drawn = yield Sample(answer, width, temperature=0.1, stop=("END",), max_tokens=7, seed=40, prefix="So: ")
    reply = yield Ask(prompts.render("revision_loss", query, chosen=drawn[0]))
    parts = yield ScoreTexts(("part", "longer part"))
    SEEN.append((reply, reply.tokens, [(one.text, one.reward) for one in parts]))
    both = yield [Sample(answer, 1), ScoreTexts(("x",))]
    return Outcome(both[0][0], "enough")


@pytest.fixture(autouse=True)
def registered() -> Any:
    before = dict(registry._registered)
    register("every-action", every_action)
    SEEN.clear()
    yield
    registry._registered.clear()
    registry._registered.update(before)


def answer(request: Request, index: int) -> str:
    return "Two words." if "You review" in str(request.messages) else "wiped"


async def test_each_action_reaches_its_backend_and_its_result_the_method() -> None:
    model = FakeModel(answer, Profile("fake", prefill=True))
    reward = FakeReward(lambda text: float(len(text)))
    result = await drive(model, reward, method="every-action", width=2)
    first = model.requests[0]
    assert (first.temperature, first.max_tokens, first.seed) == (0.1, 7, 40)
    assert first.extra == {"stop": ["END"], "continue_final_message": True, "add_generation_prompt": False}
    assert first.messages[-1] == {"role": "assistant", "content": "So: "}
    assert result.candidates[0].text == "So: wiped"
    assert SEEN == [("Two words.", 2, [("part", 4.0), ("longer part", 11.0)])]
    assert isinstance(SEEN[0][0], Reply)
    assert result.stop == "enough"

    calls, scored = len(model.requests), len(reward.scored)
    again = await drive(model, reward, method="every-action", width=2, journal=Journal(records=result.trace[:-1]))
    assert (len(model.requests), len(reward.scored)) == (calls, scored)
    assert SEEN[0] == SEEN[1]
    assert (again.answer, again.stop) == (result.answer, "enough")


def tagged(text: str) -> Callable[[Request, int], str]:
    def reply(request: Request, index: int) -> str:
        asked = str(request.messages[-1]["content"])
        return text if "<improved_answer>" in asked else f"plain {index}"

    return reply


async def test_an_update_has_room_for_its_tags_and_ends_where_the_answer_has_to() -> None:
    model = FakeModel(tagged("<improved_answer>\nfirst line\nsecond line</improved_answer>"))
    extra = {"stop": ["\n"], "top_k": 3}
    result = await drive(model, depth=1, width=1, max_tokens=4, extra=extra)
    plain, update = model.requests[0], model.requests[-1]
    assert (plain.max_tokens, plain.extra) == (4, extra)
    assert (update.max_tokens, update.extra) == (4 + TAG_TOKENS, {"top_k": 3})
    assert [candidate.text for candidate in result.candidates] == ["plain 0", "first line"]


@pytest.mark.parametrize("cut", ["<improved_answer", "<impro", "<improved_answer>", "</improved"])
async def test_an_unfinished_tag_is_no_answer(cut: str) -> None:
    result = await drive(FakeModel(tagged(cut)), depth=1, width=1)
    assert result.answer == "plain 0"
    assert all("<" not in candidate.text for candidate in result.candidates)


async def test_an_answer_that_repeats_our_words_ranks_below_all_others() -> None:
    leaking = "<improved_answer>Wipe it, wipe it. Answer 2 is better than Answer 1. Then dry it.</improved_answer>"
    result = await drive(FakeModel(tagged(leaking)), depth=1, width=1)
    assert result.answer == "plain 0"
    leaked = result.candidates[-1]
    assert leaked.leaked == "Answer 2 is better than Answer 1."
    assert leaked.reward is not None
    assert result.reward is not None
    assert leaked.reward > result.reward
    scored = [record for record in result.trace if getattr(record, "fault", None)]
    assert len(scored) == 1
