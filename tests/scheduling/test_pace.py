"""The adaptive limit, on simulated servers whose best limit is known."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator

import pytest

from tpo.scheduling.pace import AdaptivePace, FixedPace, Pace


def simulated(
    pace: Pace,
    speed: Callable[[int], float],
    calls: int,
    tokens: Callable[[], int] = lambda: 100,
    refuses_beyond: int | None = None,
) -> list[int]:
    """Keep as many calls in flight as the pace says; `speed` is what one sequence gets, by how many there are.

    Returns the limit after each call.
    """
    now, order = 0.0, 0
    limits: list[int] = []
    flying: list[tuple[float, int, float, int]] = []
    while len(limits) < calls:
        while len(flying) < pace.limit:
            if refuses_beyond is not None and len(flying) >= refuses_beyond:
                pace.overloaded(now, now, len(flying))
                now += 0.01
                break
            count, order = tokens(), order + 1
            heapq.heappush(flying, (now + count / speed(len(flying) + 1), order, now, count))
        ends, _, sent, count = heapq.heappop(flying)
        now = max(now, ends)
        pace.finished(sent, now, 1, count, len(flying) + 1)
        limits.append(pace.limit)
    return limits


def full_at(slots: int) -> Callable[[int], float]:
    """A server that gives each sequence the same until it is full, and then shares."""
    return lambda live: 50.0 * min(1.0, slots / live)


@pytest.mark.parametrize("slots", [4, 20, 64, 300])
def test_it_finds_a_full_server_and_does_not_pile_up_work(slots: int) -> None:
    pace = AdaptivePace()
    limits = simulated(pace, full_at(slots), 40_000)
    late = limits[len(limits) // 2 :]
    assert sum(late) / len(late) >= 0.9 * slots
    assert sum(late) / len(late) <= 2.0 * max(slots, 16)


def test_long_answers_do_not_mislead_it() -> None:
    chance = random.Random(1)
    limits = simulated(AdaptivePace(), full_at(64), 40_000, lambda: min(int(chance.lognormvariate(4, 1)), 2000))
    late = limits[20_000:]
    assert 55 <= sum(late) / len(late) <= 140


def test_it_backs_off_when_it_is_refused_and_stays_below() -> None:
    pace = AdaptivePace()
    limits = simulated(pace, full_at(1000), 20_000, refuses_beyond=100)
    late = limits[10_000:]
    assert max(late) <= 125
    assert sum(late) / len(late) >= 60


def test_one_burst_of_refusals_counts_once() -> None:
    pace = AdaptivePace(start=100)
    for _ in range(50):
        pace.overloaded(sent_at=1.0, now=2.0, live=100)
    assert pace.limit == 80


def test_there_is_one_step_back_in_a_round_trip_and_none_below_half_of_what_worked() -> None:
    pace = AdaptivePace(start=100)
    pace.finished(sent_at=0.0, now=2.0, sequences=1, tokens=10, live=100)  # a round trip takes 2 s
    limits = []
    for tick in range(100):  # a refusal each 0.1 s, for 10 s
        now = 2.0 + tick / 10
        pace.overloaded(sent_at=now, now=now, live=5)
        limits.append(pace.limit)
    assert limits[0] == limits[19] == 80
    assert limits[20] == limits[39] == 64
    assert (limits[40], limits[-1]) == (51, 50)


def test_retry_after_is_longer_than_a_round_trip() -> None:
    pace = AdaptivePace(start=100)
    pace.overloaded(0.0, 0.0, 100, retry_after=30.0)
    pace.overloaded(29.0, 29.0, 80)
    assert pace.limit == 80
    pace.overloaded(30.0, 30.0, 80)
    assert pace.limit == 64


def test_after_an_outage_the_limit_is_back_within_a_round_trip() -> None:
    pace = AdaptivePace(start=100)
    for now in (0.0, 1.0, 2.0, 3.0):
        pace.overloaded(now, now, 100)
    assert pace.limit == 50
    for _ in range(45):
        pace.finished(sent_at=3.0, now=13.0, sequences=1, tokens=10, live=50)
    assert pace.limit == 95


def test_a_small_load_that_is_refused_shows_nothing_about_the_limit() -> None:
    pace = AdaptivePace(start=64)
    for at in range(4):
        pace.finished(at, at + 1.0, 1, 10, live=3)
    pace.overloaded(5.0, 5.0, live=3)
    assert pace.limit == 51


def test_a_server_that_takes_less_from_now_on_gets_less() -> None:
    pace = AdaptivePace()
    simulated(pace, full_at(1000), 10_000, refuses_beyond=200)
    limits = simulated(pace, full_at(1000), 10_000, refuses_beyond=20)
    assert max(limits[5_000:]) <= 25


def test_a_slow_moment_is_not_taken_for_the_effect_of_a_step() -> None:
    """Answers take five times as long for a while, at any moment: the limit comes out near where it was."""
    for moment in range(0, 3000, 100):
        calls = iter(range(1_000_000))

        def speed(live: int, moment: int = moment, calls: Iterator[int] = calls) -> float:
            return full_at(64)(live) / (5 if moment <= next(calls) < moment + 400 else 1)

        late = simulated(AdaptivePace(), speed, 8000)[6000:]
        assert sum(late) / len(late) >= 55, moment


def test_it_never_leaves_its_bounds() -> None:
    pace = AdaptivePace(start=16, most=40)
    assert max(simulated(pace, full_at(1000), 5_000)) == 40
    assert pace.limit >= 1


def test_where_there_is_little_to_do_nothing_is_learnt() -> None:
    pace = AdaptivePace(start=16)
    for at in range(1000):
        pace.finished(at, at + 1.0, 1, 100, live=3)
    assert pace.limit == 16


def test_a_fixed_pace_stays() -> None:
    pace = FixedPace(7)
    pace.overloaded(0, 1, 7)
    pace.finished(0, 1, 1, 100, 7)
    assert pace.limit == 7
