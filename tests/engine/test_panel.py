"""A panel: answers are shared out among the arms, a dead arm costs none, and each arm's cost is exact."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tpo
from fakes import FakeModel, FakeReward, numbered
from models.server import Received, delta, models, serving, stream
from tpo.engine.records import Called, Sampled
from tpo.errors import ModelError, ModelUnavailable
from tpo.models.panel import ArmSpec, arms_of, shared_out
from tpo.models.profiles import Profile
from tpo.models.protocol import Request
from tpo.rewards.protocol import Score


def by_number(text: str) -> float:
    return float(text.split()[-1])


def dying(after: int, error: Callable[[], ModelError]) -> FakeModel:
    """Answers so many times, and then fails for ever."""
    count = 0

    def answer(request: Request, index: int) -> str | ModelError:
        nonlocal count
        count += 1
        return f"dying {count}" if count <= after else error()

    return FakeModel(answer, name="dying")


def gone() -> ModelError:
    error = ModelUnavailable("The connection was refused.", 0.0)
    error.down = True
    return error


async def aligned(arms: dict[str, Any], **options: Any) -> tpo.Result:
    chosen: dict[str, Any] = {
        "method": "best-of-n",
        "width": 6,
        "reward": FakeReward(by_number),
        "check": False,
        **options,
    }
    return await tpo.align("How?", policy=arms, **chosen)


def arms_in(result: tpo.Result) -> list[str | None]:
    return [candidate.arm for candidate in result.candidates]


async def test_all_arms_draw_and_the_best_wins() -> None:
    small, large = (
        FakeModel(numbered("small"), name="s"),
        FakeModel(lambda request, index: f"large {index + 50}", name="l"),
    )
    result = await aligned({"a": small, "b": large})
    assert Counter(arms_in(result)) == {"a": 3, "b": 3}
    assert result.answer.startswith("large")
    assert (result.arms["a"].answers, result.arms["a"].wins) == (3, 0)
    assert (result.arms["b"].answers, result.arms["b"].wins) == (3, 1)
    assert result.usage["policy"].calls == len(small.requests) + len(large.requests) == 6


async def test_the_cost_of_each_arm_is_exact() -> None:
    long, short = FakeModel(lambda r, i: "one two three 1", name="l"), FakeModel(lambda r, i: "2", name="s")
    result = await aligned({"long": long, "short": short}, method="tpo", width=4, depth=1)
    asks = 2  # loss and gradient are the lead's
    assert result.arms["long"].completion_tokens == 4 * (2 + 2 + asks)
    assert result.arms["short"].completion_tokens == 2 + 2
    assert result.arms["long"].calls == len(long.requests) and result.arms["short"].calls == len(short.requests)
    for kind in ("calls", "prompt_tokens", "completion_tokens"):
        roles = sum(getattr(used, kind) for role, used in result.usage.items() if role != "reward")
        assert roles == sum(getattr(used, kind) for used in result.arms.values())


@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize("error", [gone, lambda: ModelError("It refuses."), lambda: ModelUnavailable("Odd.", 0.0)])
async def test_an_arm_that_dies_costs_no_answer(after: int, error: Callable[[], ModelError]) -> None:
    notes: list[str] = []
    alive = FakeModel(numbered("alive"), name="alive")
    result = await aligned({"a": dying(after, error), "b": alive}, on_note=notes.append)
    assert len(result.candidates) == 6
    assert all(candidate.error is None and candidate.text for candidate in result.candidates)
    # A refusal cuts the arm's other calls short, which the other arm makes as well.
    counts = Counter(arms_in(result))
    assert counts["a"] == after if error is gone else counts["a"] <= after
    assert [note for note in notes if "arm a of the panel" in note and "left out" in note]


async def test_an_arm_that_is_left_out_gets_no_more_calls_for_a_while() -> None:
    dead, alive = dying(0, gone), FakeModel(numbered("alive"), name="alive")
    notes: list[str] = []
    reward = FakeReward(by_number)
    options: Any = {
        "policy": {"a": dead, "b": alive},
        "method": "best-of-n",
        "width": 4,
        "reward": reward,
        "check": False,
    }
    async with tpo.Session(**options, on_note=notes.append) as session:
        await session.align("How?")
        calls = len(dead.requests)
        for _ in range(3):
            await session.align("How?")
        assert len(dead.requests) == calls
    assert len([note for note in notes if "left out" in note]) == 1


async def test_a_dead_lead_leaves_its_critiques_to_the_next() -> None:
    result = await aligned(
        {"a": dying(0, gone), "b": FakeModel(numbered("alive"), name="alive")}, method="tpo", width=2
    )
    assert set(arms_in(result)) == {"b"}
    assert len(result.steps) == 3


async def test_only_where_every_arm_fails_there_is_no_answer() -> None:
    with pytest.raises(tpo.ModelError, match="refuses"):
        await aligned(
            {"a": dying(0, lambda: ModelError("It refuses.")), "b": dying(0, lambda: ModelError("So refuses."))}
        )


async def test_a_killed_search_goes_on_and_replays(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"

    def models() -> dict[str, Any]:
        return {
            "a": FakeModel(lambda r, i: f"a {r.seed}", name="a"),
            "b": FakeModel(lambda r, i: f"b {r.seed}", name="b"),
        }

    whole = await aligned(models(), method="tpo", width=4, depth=1, seed=3)
    await aligned(models(), method="tpo", width=4, depth=1, seed=3, trace=trace)
    lines = trace.read_bytes().splitlines(keepends=True)
    for kept in range(2, len(lines), 5):
        trace.write_bytes(b"".join(lines[:kept]))
        again = await aligned(models(), method="tpo", width=4, depth=1, seed=3, trace=trace)
        assert (again.answer, again.reward, arms_in(again)) == (whole.answer, whole.reward, arms_in(whole))
        assert tpo.replay(trace).arms == again.arms
    records = tpo.replay(trace).trace
    assert {record.arm for record in records if isinstance(record, Sampled)} == {"a", "b"}
    assert all(record.arm for record in records if isinstance(record, Called) and record.role != "reward")


async def test_embedded_arms_generate_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    live = most = 0

    class Engine(FakeModel):
        async def generate(self, request: Request, receiver: Any) -> None:
            nonlocal live, most
            live += 1
            most = max(most, live)
            await asyncio.sleep(0)
            await super().generate(request, receiver)
            live -= 1

    async def opened(spec: str, role: str, model: str | None, *_: Any, **__: Any) -> Any:
        return Engine(numbered(spec.rpartition("/")[2]), Profile("llama.cpp", choices="n", max_choices=8), name=spec)

    monkeypatch.setattr("tpo.session.backends.open_model", opened)
    result = await aligned({"a": "gguf:/m/one", "b": "gguf:/m/two"}, reward=FakeReward(by_number))
    assert most == 1
    assert Counter(arms_in(result)) == {"a": 3, "b": 3}


@pytest.mark.parametrize(
    ("method", "own", "later"),
    [
        ("tpo", {"wave": 1}, 8),
        ("tpo", {"wave": 3}, 8),
        ("tpo-fused", {}, 8),
        ("rsa", {}, 8),
        ("feedback-descent", {}, 2),
        ("restate", {"wave": 1}, 8),
        ("segments", {}, 8),
    ],
)
@pytest.mark.parametrize("count", [2, 3, 5])
async def test_answers_of_all_kinds_come_from_all_arms_in_equal_parts(
    method: str, own: dict[str, Any], later: int, count: int
) -> None:
    def score(text: str) -> Score:
        return Score(by_number(text) % 7, feedback="missing: says more")

    numbers = itertools.count()
    arms = {name: FakeModel(lambda r, i: f"answer {next(numbers)}", name=name) for name in "abcde"[:count]}
    result = await aligned(arms, method=method, width=4, depth=2, settings=own, reward=FakeReward(score))
    drawn = arms_in(result)
    for some in (drawn, drawn[4:]) if method != "feedback-descent" else (drawn,):
        shares = [some.count(arm) for arm in arms]
        assert max(shares) - min(shares) <= 1
    assert len(drawn) == 4 + later


async def test_a_single_merge_is_the_leads_whatever_the_query() -> None:
    for number in range(6):
        arms = {name: FakeModel(numbered(name), name=name) for name in ("a", "b")}
        result = await tpo.align(
            f"How {number}?", policy=arms, method="fusion", width=4, reward=FakeReward(by_number), check=False
        )
        assert Counter(arms_in(result)[:4]) == {"a": 2, "b": 2}
        assert arms_in(result)[4:] == ["a"]


async def test_tools_leave_the_method_to_a_single_arm() -> None:
    arms = {name: FakeModel(numbered(name), name=name) for name in ("a", "b")}
    asked: Any = {"extra": {"tools": [{"type": "function", "function": {"name": "look"}}]}}
    options: Any = {"policy": arms, "method": "tpo", "width": 2, "depth": 1, "check": False}
    async with tpo.Session(**options, reward=FakeReward(by_number)) as session:
        assert len((await session.align("How?", policy_model="b", **asked)).steps) == 2
        assert len((await session.align("How?", **asked)).steps) == 1
    async with tpo.Session(**options, **asked, reward=FakeReward(by_number)) as session:
        assert len((await session.align("How?", policy_model="b")).steps) == 2
        assert len((await session.align("How?")).steps) == 1


async def test_uneven_shares_even_out_over_queries() -> None:
    arms = {name: FakeModel(lambda r, i: "x 1", name=name) for name in ("a", "b")}
    options: Any = {"policy": arms, "reward": FakeReward(by_number), "check": False, "method": "best-of-n", "width": 3}
    async with tpo.Session(**options) as session:
        results = [await session.align(f"Question {number}?") for number in range(40)]
    larger = Counter(max(result.arms, key=lambda name: result.arms[name].answers) for result in results)
    assert min(larger["a"], larger["b"]) >= 10


@given(st.integers(1, 40), st.integers(1, 8), st.integers(0, 20))
@settings(max_examples=60)
def test_shares_differ_by_one_at_most_and_hold_neighbours(width: int, count: int, turn: int) -> None:
    arms = [f"arm{number}" for number in range(count)]
    shares = shared_out(range(width), width, arms, turn)
    assert sorted(index for share in shares.values() for index in share) == list(range(width))
    sizes = [len(shares.get(arm, [])) for arm in arms]
    assert max(sizes) - min(sizes) <= 1
    assert all(share == list(range(share[0], share[-1] + 1)) for share in shares.values())


@given(st.lists(st.integers(1, 12), min_size=1, max_size=8), st.integers(1, 8))
@settings(max_examples=60)
def test_shares_differ_by_one_at_most_over_several_actions(widths: list[int], count: int) -> None:
    arms = [f"arm{number}" for number in range(count)]
    sizes = dict.fromkeys(arms, 0)
    for number, width in enumerate(widths):
        for arm, share in shared_out(range(width), width, arms, sum(widths[:number])).items():
            sizes[arm] += len(share)
    assert max(sizes.values()) - min(sizes.values()) <= 1


def test_policies_are_named_in_several_ways() -> None:
    assert arms_of("http://localhost:8000/v1?a=b") is None
    assert arms_of(["a=http://x/v1", "b = odd"][:1]) == {"a": "http://x/v1"}
    assert arms_of({"a": "embedded"}) == {"a": "embedded"}
    arm = ArmSpec("org/small-1B@http://user:secret@localhost:8000/v1")
    assert (arm.model, arm.where) == ("org/small-1B", "http://user:secret@localhost:8000/v1")
    assert ArmSpec("http://user:secret@localhost/v1").model is None
    for wrong, why in (
        (["http://x/v1"], "has no name"),
        (["a=http://x", "a=http://y"], "called 'a'"),
        ([], "There are 0 policies"),
        ({"a b": "x"}, "cannot be called"),
    ):
        with pytest.raises(tpo.InputError, match=why):
            arms_of(wrong)


async def test_each_arm_has_a_key_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TPO_POLICY_API_KEY", "sk-policy")
    monkeypatch.setenv("TPO_POLICY_A_API_KEY", "sk-a")

    def respond(request: Received) -> bytes:
        if request.path.endswith("/models"):
            return models("m")
        return stream(delta("answer 1", finish="stop"))

    async with serving(respond) as one, serving(respond) as two:
        await aligned({"a": one.url, "b": f"m@{two.url}"}, width=2)
        assert {request.headers.get("authorization") for request in one.received} == {"Bearer sk-a"}
        assert {request.headers.get("authorization") for request in two.received} == {None}
