"""A prompt that shows answers and does not fit the model's context: the answers that are there are not lost."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest

import tpo
from engine.kit import LENGTH, drive
from fakes import FakeModel, FakeReward
from tpo.engine.events import Event
from tpo.engine.panel_draw import telling
from tpo.engine.records import Called, Ended
from tpo.errors import ModelError, ModelUnavailable
from tpo.http.failures import ContextOverflow
from tpo.methods import registry
from tpo.models.protocol import Request
from tpo.rewards.protocol import Score

TOO_LONG = "The prompt has 5100 tokens and fake takes 4096 in all."
FOX = "kept 0 of 1 requirements; missing: uses the word fox"
# These show no answer.
NEVER_LONGER = {"sample", "best-of-n"}
METHODS = sorted(set(registry.methods()) - NEVER_LONGER)


def narrow(name: str = "fake") -> FakeModel:
    """A model whose context holds the bare question and nothing more; its answers differ."""
    answers = itertools.count(1)

    def reply(request: Request, index: int) -> str | ModelError:
        if len(request.messages) > 1 or request.messages[0]["content"] != "How?":
            return ContextOverflow(TOO_LONG, 5100, 4096)
        return " ".join(["word"] * next(answers))

    return FakeModel(reply, name=name)


@pytest.mark.parametrize("method", METHODS)
async def test_every_method_keeps_the_best_answer_so_far(method: str) -> None:
    model = narrow()
    events: list[Event] = []
    result = await drive(
        model, FakeReward(lambda text: Score(float(len(text)), feedback=FOX)), method=method, events=events
    )
    assert result.stop == "context"
    assert result.answer == max((one.text for one in result.candidates), key=len)
    assert events[-1] == Ended("context", result.chosen, result.seconds)
    assert TOO_LONG in {event.error for event in events if isinstance(event, Called)}


async def test_a_question_that_is_too_long_itself_is_an_error() -> None:
    with pytest.raises(ContextOverflow, match="5100"):
        await drive(narrow(), query="How, in so many words?")


async def test_a_selection_rule_still_chooses() -> None:
    result = await drive(narrow(), method="tpo", width=6, select="soft:10")
    expected = await drive(narrow(), method="best-of-n", width=6, select="soft:10")
    assert (result.stop, result.answer) == ("context", expected.answer)
    assert result.answer != max((one.text for one in result.candidates), key=len)


async def test_a_rule_that_asks_a_judge_falls_back_to_the_best() -> None:
    result = await drive(narrow(), method="tpo", width=4, select="knockout:2")
    assert (result.stop, result.answer) == ("context", max((one.text for one in result.candidates), key=len))


async def test_the_trace_tells_the_same(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    first = await tpo.align("How?", policy=narrow(), reward=LENGTH, check=False, trace=trace)
    again = tpo.replay(trace)
    assert (again.answer, again.stop) == (first.answer, "context")


async def test_an_arm_with_a_shorter_context_is_not_left_out() -> None:
    wide = FakeModel(lambda request, index: f"wide {len(request.messages[0]['content'])}", name="wide")
    notes: list[str] = []
    result = await tpo.align(
        "How?",
        policy={"wide": wide, "narrow": narrow("narrow")},
        reward=LENGTH,
        check=False,
        method="tpo",
        width=4,
        depth=1,
        on_note=notes.append,
    )
    assert result.stop == "depth"
    by_step = [[one.arm for one in result.candidates if one.step == step] for step in (0, 1)]
    assert (Counter(by_step[0]), Counter(by_step[1])) == ({"wide": 2, "narrow": 2}, {"wide": 4})
    assert not any("left out" in note for note in notes)


async def test_a_prompt_that_is_too_long_costs_the_others_beside_it_nothing() -> None:
    answers = itertools.count(1)

    def reply(request: Request, index: int) -> str | ModelError:
        if "answer 1" in str(request.messages):  # the draft that makes a prompt too long
            return ContextOverflow(TOO_LONG, 5100, 4096)
        return f"answer {next(answers)}"

    result = await drive(FakeModel(reply), method="rsa", width=5, depth=1, own={"subset": 1})
    later = [one for one in result.candidates if one.step == 1]
    assert (result.stop, len(later)) == ("depth", 5)
    failed = [one for one in later if one.error is not None]
    assert 1 <= len(failed) < 5
    assert all(TOO_LONG in str(one.error) for one in failed)


async def test_a_critique_that_fits_only_a_resting_arm_is_asked_there() -> None:
    failures = iter([True] * 4)  # two tries for each of two answers, and then it rests

    def wide(request: Request, index: int) -> str | ModelError:
        return ModelUnavailable("busy", 0.0) if next(failures, False) else "wide"

    policy = {"wide": FakeModel(wide, name="wide"), "narrow": narrow("narrow")}
    result = await tpo.align("How?", policy=policy, reward=LENGTH, check=False, method="tpo", width=4, depth=1)
    assert result.stop == "depth"
    assert [step.loss for step in result.steps] == [None, "wide"]


def test_a_short_context_is_told_of_only_where_no_arm_failed_otherwise() -> None:
    short, down = ContextOverflow(TOO_LONG, 5100, 4096), ModelError("down")
    assert telling([down, short]) is telling([short, down]) is down
    assert telling([short, short]) is short
