"""Who goes next, and that nobody is forgotten."""

from __future__ import annotations

import asyncio
import contextvars
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpo.errors import ModelUnavailable
from tpo.scheduling.limiter import Limiter, Owner, call_owner
from tpo.scheduling.pace import AdaptivePace, FixedPace


class Work:
    """Calls that hold their slots until they are let go."""

    def __init__(self, limiter: Limiter) -> None:
        self.limiter = limiter
        self.begun: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}

    async def call(self, name: str, sequences: int = 1, tokens: int = 1, urgency: int = 0) -> None:
        self._ends[name] = asyncio.Event()
        async with self.limiter.slot(sequences, tokens, urgency):
            self.begun.append(name)
            await self._ends[name].wait()

    def begin(self, name: str, sequences: int = 1, tokens: int = 1, urgency: int = 0) -> asyncio.Task[None]:
        return asyncio.ensure_future(self.call(name, sequences, tokens, urgency))

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await settle()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_the_most_urgent_goes_first_and_then_the_oldest() -> None:
    work = Work(Limiter(FixedPace(1)))
    tasks = [work.begin(name, urgency=urgency) for name, urgency in (("a", 0), ("b", 0), ("c", 5), ("d", 5))]
    await settle()
    for name in ("a", "c", "d", "b"):
        assert work.begun[-1] == name
        await work.end(name)
    await asyncio.gather(*tasks)
    assert (work.limiter.live, work.limiter.tokens, work.limiter.waiting) == (0, 0, 0)


def owned(work: Work, owner: Owner, name: str, sequences: int = 1, urgency: int = 0) -> asyncio.Task[None]:
    """A call of an owner's."""
    context = contextvars.copy_context()
    context.run(call_owner.set, owner)
    return asyncio.create_task(work.call(name, sequences, urgency=urgency), context=context)


async def test_an_owner_with_less_in_flight_goes_first_however_many_calls_another_has() -> None:
    work = Work(Limiter(FixedPace(4)))
    greedy, modest = Owner("greedy"), Owner("modest")
    tasks = [owned(work, greedy, f"greedy-{number}", urgency=9) for number in range(10)]
    await settle()
    tasks += [owned(work, modest, f"modest-{number}") for number in range(3)]
    await settle()
    for number in range(3):
        await work.end(f"greedy-{number}")
    assert work.begun[4:] == ["modest-0", "modest-1", "greedy-4"]  # two of each are in flight, and then they take turns
    for number in (3, 4, *range(5, 10)):
        await work.end(f"greedy-{number}")
    for number in range(3):
        await work.end(f"modest-{number}")
    for number in range(10):
        await work.end(f"greedy-{number}")
    await asyncio.gather(*tasks)
    assert (work.limiter.live, work.limiter.tokens, work.limiter.waiting) == (0, 0, 0)


async def test_a_weight_is_a_share_of_a_full_server() -> None:
    work = Work(Limiter(FixedPace(6)))
    heavy, light = Owner("heavy", 2.0), Owner("light")
    first = owned(work, Owner(), "first", 6)
    await settle()
    tasks = [owned(work, owner, f"{owner.name}-{n}") for n in range(6) for owner in (heavy, light)]
    await settle()
    await work.end("first")
    assert sum(name.startswith("heavy") for name in work.begun) == 4
    for task in [first, *tasks]:
        task.cancel()
    await asyncio.gather(first, *tasks, return_exceptions=True)
    assert (work.limiter.live, work.limiter.tokens, work.limiter.waiting) == (0, 0, 0)


async def test_one_sequence_at_a_time_goes_to_owners_in_turns() -> None:
    work = Work(Limiter(FixedPace(1)))
    tasks = [owned(work, Owner(owner), f"{owner}{number}") for owner in "abc" for number in range(3)]
    await settle()
    for _ in range(9):
        await work.end(work.begun[-1])
    await asyncio.gather(*tasks)
    assert work.begun == [f"{owner}{number}" for number in range(3) for owner in "abc"]


async def test_sequences_and_tokens_are_both_bounded() -> None:
    work = Work(Limiter(FixedPace(10), tokens=100))
    tasks = [work.begin("five", 5, 60), work.begin("six", 6, 10), work.begin("long", 1, 50)]
    await settle()
    assert work.begun == ["five"]
    await work.end("five")
    assert work.begun == ["five", "six", "long"]
    for task in tasks:
        task.cancel()


async def test_a_call_that_is_larger_than_everything_goes_alone() -> None:
    work = Work(Limiter(FixedPace(4), tokens=100))
    tasks = [work.begin("small"), work.begin("huge", 20, 5000, urgency=1), work.begin("small too")]
    await settle()
    assert work.begun == ["small"]
    await work.end("small")
    assert work.begun == ["small", "huge"]
    await work.end("huge")
    assert work.begun[-1] == "small too"
    for task in tasks:
        task.cancel()


async def test_a_client_that_leaves_while_waiting_holds_up_nobody() -> None:
    work = Work(Limiter(FixedPace(1)))
    tasks = [work.begin("a"), work.begin("wide", 1, urgency=9), work.begin("b")]
    await settle()
    tasks[1].cancel()
    await settle()
    await work.end("a")
    assert work.begun == ["a", "b"]
    tasks[2].cancel()
    await settle()
    assert work.limiter.live == 0


async def test_a_call_that_is_cancelled_in_the_moment_it_is_let_in_gives_its_place_back() -> None:
    work = Work(Limiter(FixedPace(1)))
    first, second = work.begin("a"), work.begin("b")
    await settle()
    work._ends["a"].set()
    await asyncio.sleep(0)  # "a" leaves, and "b" has been told but has not run yet
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert work.limiter.live == 0
    third = work.begin("c")
    await settle()
    assert work.begun[-1] == "c"
    third.cancel()


async def test_room_is_reported_when_nobody_waits_and_something_is_free() -> None:
    work = Work(Limiter(FixedPace(2)))
    tasks = [work.begin("a"), work.begin("b"), work.begin("c")]
    await settle()
    room = asyncio.ensure_future(work.limiter.wait_for_room())
    await work.end("a")
    assert not room.done()  # "c" took the place
    await work.end("b")
    assert room.done()
    for task in tasks:
        task.cancel()


async def test_overload_reaches_the_pace_and_the_error_its_caller() -> None:
    limiter = Limiter(AdaptivePace(start=10))
    for overloaded in (False, True):
        with pytest.raises(ModelUnavailable):
            async with limiter.slot(10, 1, 0):
                raise ModelUnavailable("no", overloaded=overloaded)
        assert limiter.pace.limit == (8 if overloaded else 10)


@given(st.lists(st.tuples(st.integers(1, 7), st.integers(1, 50), st.integers(0, 6), st.booleans()), max_size=40))
def test_the_bounds_hold_whatever_comes_and_everything_gets_its_turn(
    calls: list[tuple[int, int, int, bool]],
) -> None:
    async def everything() -> None:
        limiter = Limiter(FixedPace(6), tokens=60)
        live: list[tuple[int, int]] = []
        within: list[bool] = []
        served = 0

        async def one(sequences: int, tokens: int, urgency: int, leaves: bool) -> None:
            nonlocal served
            async with limiter.slot(sequences, tokens, urgency):
                live.append((sequences, tokens))
                alone = len(live) == 1
                within.append(alone or (sum(s for s, _ in live) <= 6 and sum(t for _, t in live) <= 60))
                try:
                    await asyncio.sleep(0)
                    served += 1
                finally:
                    live.remove((sequences, tokens))

        tasks = [asyncio.ensure_future(one(*call)) for call in calls]
        await asyncio.sleep(0)
        for task, (*_, leaves) in zip(tasks, calls, strict=True):
            if leaves:
                task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
        assert all(within)
        assert served >= sum(not leaves for *_, leaves in calls)
        assert (limiter.live, limiter.tokens, limiter.waiting) == (0, 0, 0)

    asyncio.run(everything())
