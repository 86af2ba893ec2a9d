"""Who is let in, who waits, and who is sent away."""

from __future__ import annotations

import asyncio
import random

import pytest

from tpo.errors import InputError
from tpo.server.admission import LATEST, SOONEST, Admission, Busy


class Guests:
    """Some that want in, and stay until they are told to go."""

    def __init__(self, gate: Admission) -> None:
        self.gate = gate
        self.inside: list[str] = []
        self.most = 0
        self._gone: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, name: str, key: str | None = None, weight: float = 1.0) -> None:
        self._gone[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._visit(name, key, weight))
        await settle()

    async def go(self, name: str) -> None:
        self._gone[name].set()
        await settle()

    async def give_up(self, name: str) -> None:
        self._tasks[name].cancel()
        await settle()

    async def outcome(self, name: str) -> BaseException | None:
        (outcome,) = await asyncio.gather(self._tasks[name], return_exceptions=True)
        return outcome

    async def _visit(self, name: str, key: str | None, weight: float) -> None:
        async with self.gate.admitted(key, weight):
            self.inside.append(name)
            self.most = max(self.most, len(self.inside))
            try:
                await self._gone[name].wait()
            finally:
                self.inside.remove(name)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_so_many_are_in_and_so_many_wait_in_their_order() -> None:
    gate = Admission(2, 2)
    guests = Guests(gate)
    for name in "abcde":
        await guests.come(name)
    assert guests.inside == ["a", "b"]
    assert (gate.live, gate.waiting) == (2, 2)
    refused = await guests.outcome("e")
    assert isinstance(refused, Busy)
    assert refused.retry_after >= SOONEST
    assert str(refused.retry_after) in str(refused)
    await guests.go("b")
    assert guests.inside == ["a", "c"]
    await guests.go("a")
    assert guests.inside == ["c", "d"]
    for name in "cd":
        await guests.go(name)
    assert (gate.live, gate.waiting) == (0, 0)


async def test_who_has_just_come_takes_no_place_from_who_waits() -> None:
    gate = Admission(1, 5)
    guests = Guests(gate)
    await guests.come("a")
    await guests.come("b")
    guests._gone["a"].set()
    await guests.come("c")  # in the same moment
    await settle()
    assert guests.inside == ["b"]


async def test_who_leaves_while_waiting_keeps_no_place() -> None:
    gate = Admission(1, 2)
    guests = Guests(gate)
    for name in "abc":
        await guests.come(name)
    await guests.give_up("b")
    assert gate.waiting == 1
    await guests.come("d")  # there is room in the queue again
    assert gate.waiting == 2
    await guests.go("a")
    assert guests.inside == ["c"]
    await guests.give_up("c")
    assert guests.inside == ["d"]
    await guests.go("d")
    assert (gate.live, gate.waiting) == (0, 0)


async def test_who_leaves_in_the_moment_of_its_turn_passes_it_on() -> None:
    gate = Admission(1, 5)
    guests = Guests(gate)
    for name in "abc":
        await guests.come(name)
    guests._gone["a"].set()
    await asyncio.sleep(0)  # a goes, and b has its turn, and does not know yet
    assert (gate.waiting, guests.inside) == (1, [])
    guests._tasks["b"].cancel()
    await settle()
    assert guests.inside == ["c"]
    await guests.go("c")
    assert (gate.live, gate.waiting) == (0, 0)


async def test_a_failure_inside_gives_the_place_back() -> None:
    gate = Admission(1, 0)
    for _ in range(3):
        with pytest.raises(RuntimeError):
            async with gate.admitted():
                raise RuntimeError
    assert gate.live == 0


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_no_place_is_lost_or_won(seed: int) -> None:
    chance = random.Random(seed)
    gate = Admission(3, 4)
    guests = Guests(gate)
    names = [str(number) for number in range(60)]
    for name in names:
        await guests.come(name)
        for other in chance.sample(names[: int(name) + 1], min(2, int(name) + 1)):
            await chance.choice([guests.go, guests.give_up])(other)
        assert len(guests.inside) == gate.live <= 3
        assert gate.waiting <= 4
        assert gate.waiting == 0 or gate.live == 3
    for name in names:
        await guests.go(name)
    outcomes = [await guests.outcome(name) for name in names]
    assert (gate.live, gate.waiting, guests.most) == (0, 0, 3)
    assert all(outcome is None or isinstance(outcome, Busy | asyncio.CancelledError) for outcome in outcomes)


async def test_how_long_to_wait_is_estimated_within_bounds() -> None:
    gate = Admission(2, 100)
    assert gate.retry_after == SOONEST
    gate._seconds = 30.0
    assert gate.retry_after == 15
    gate.waiting = 99
    assert gate.retry_after == LATEST


@pytest.mark.parametrize(("concurrency", "queue"), [(0, 5), (-1, 5), (1, -1)])
def test_a_gate_that_lets_nobody_in_is_a_mistake(concurrency: int, queue: int) -> None:
    with pytest.raises(InputError, match="1 or more"):
        Admission(concurrency, queue)


async def drained(guests: Guests, left: int) -> list[str]:
    """The order in which guests had their turns, one after the other."""
    order: list[str] = []
    while len(order) < left:
        (name,) = guests.inside
        order.append(name)
        await guests.go(name)
    return order


async def test_keys_take_turns() -> None:
    gate = Admission(1, 100)
    guests = Guests(gate)
    for number in range(6):
        await guests.come(f"greedy-{number}", "greedy")
    await guests.come("modest-0", "modest")
    await guests.come("modest-1", "modest")
    order = await drained(guests, 8)
    assert order[:5] == ["greedy-0", "modest-0", "greedy-1", "modest-1", "greedy-2"]
    assert (gate.live, gate.waiting) == (0, 0)


async def test_a_key_with_nothing_under_way_gets_the_next_place() -> None:
    guests = Guests(Admission(3, 100))
    for number in range(20):
        await guests.come(f"greedy-{number}", "greedy")
    for number in range(4):  # one after the other, each in front of all that the greedy key has in the queue
        await guests.come(f"modest-{number}", "modest")
        await guests.go(guests.inside[0])
        assert guests.inside[-1] == f"modest-{number}"
        await guests.go(f"modest-{number}")
        assert guests.inside[-1].startswith("greedy")


async def test_a_key_that_comes_back_has_no_more_than_its_turns() -> None:
    guests = Guests(Admission(1, 100))
    await guests.come("first")
    for number in range(6):
        await guests.come(f"steady-{number}", "steady")
    served = []
    for number in range(5):  # always one in the queue, as a client that sends one request after the other
        await guests.come(f"eager-{number}", "eager")
        (inside,) = guests.inside
        await guests.go(inside)
        served.append(guests.inside[0].partition("-")[0])
    assert served.count("steady") >= 2


async def test_a_key_of_twice_the_weight_has_twice_the_turns() -> None:
    guests = Guests(Admission(1, 100))
    await guests.come("first")
    for number in range(12):
        await guests.come(f"heavy-{number}", "heavy", 2.0)
        await guests.come(f"light-{number}", "light", 1.0)
    turns = (await drained(guests, 13))[1:]
    assert sum(name.startswith("heavy") for name in turns) == 8


async def test_a_full_queue_gives_a_place_to_a_key_that_waits_less() -> None:
    gate = Admission(1, 3)
    guests = Guests(gate)
    for number in range(4):
        await guests.come(f"greedy-{number}", "greedy")
    await guests.come("modest-0", "modest")
    assert isinstance(await guests.outcome("greedy-3"), Busy)
    assert gate.waiting == 3
    await guests.come("greedy-4", "greedy")  # its own requests push out no other key's
    assert isinstance(await guests.outcome("greedy-4"), Busy)
    assert await drained(guests, 4) == ["greedy-0", "modest-0", "greedy-1", "greedy-2"]
