"""What a limiter does while its server refuses everything, and how soon it is back. On a clock that jumps."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from scheduling.jumping import run
from tpo.errors import ModelUnavailable
from tpo.http.retry import patiently
from tpo.scheduling.limiter import Limiter
from tpo.scheduling.pace import AdaptivePace, FixedPace, Pace

ROUND_TRIP = 0.02


class Server:
    """Answers in some seconds, the longer the more are in flight beyond its slots; refuses everything at times."""

    def __init__(
        self, slots: int, seconds: float, refuses: list[tuple[float, float]], retry_after: float | None
    ) -> None:
        self.slots = slots
        self.seconds = seconds
        self.refuses = refuses
        self.retry_after = retry_after
        self.live = 0
        self.refused = 0
        self.answered: Counter[int] = Counter()  # by tenth of a second

    async def call(self) -> None:
        await asyncio.sleep(ROUND_TRIP)
        now = asyncio.get_running_loop().time()
        if any(begin <= now < end for begin, end in self.refuses):
            self.refused += 1
            raise ModelUnavailable("429", self.retry_after, overloaded=True)
        self.live += 1
        try:
            await asyncio.sleep(self.seconds * max(1.0, self.live / self.slots))
        finally:
            self.live -= 1
        self.answered[int(asyncio.get_running_loop().time() * 10)] += 1

    def rate(self, begin: float, end: float) -> float:
        """Answers a second."""
        return sum(n for tenth, n in self.answered.items() if begin * 10 <= tenth < end * 10) / (end - begin)


async def keep_busy(server: Server, pace: Pace, calls: int, seconds: float) -> Limiter:
    """Keep so many calls waiting or in flight, each repeated until it is answered."""
    limiter = Limiter(pace)

    async def attempt() -> None:
        async with limiter.slot(1, 1, 0) as call:
            await server.call()
            call.finished(100)

    async def worker() -> None:
        while True:
            await patiently(attempt, lambda error, wait: None, patience=1800.0)

    workers = [asyncio.ensure_future(worker()) for _ in range(calls)]
    await asyncio.sleep(seconds)
    for one in workers:
        one.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    return limiter


@pytest.mark.parametrize("seconds", [0.3, 10.0])
@pytest.mark.parametrize(("outage", "retry_after"), [(1.0, None), (5.0, None), (60.0, None), (1.0, 3.0)])
def test_after_an_outage_the_throughput_is_soon_back(seconds: float, outage: float, retry_after: float | None) -> None:
    random.seed(1)
    begin = 30.0 + 20 * seconds
    server = Server(64, seconds, [(begin, begin + outage)], retry_after)
    back = begin + outage + 5 + (retry_after or 0) + (5 if outage > 10 else 0)
    # An answer that is sent then ends so much later.
    measured = (back + seconds, back + seconds + max(5.0, 2 * seconds))
    run(keep_busy(server, AdaptivePace(), 128, measured[1] + 1))
    before = server.rate(begin - max(10.0, 4 * seconds), begin)
    assert before >= 0.9 * 64 / (seconds + ROUND_TRIP)
    assert server.rate(*measured) >= 0.9 * before


@pytest.mark.parametrize("pace", [FixedPace(64), AdaptivePace(64)])
def test_while_everything_is_refused_few_calls_are_sent(pace: Pace) -> None:
    random.seed(1)
    server = Server(64, 0.2, [(5.0, 65.0)], None)
    run(keep_busy(server, pace, 128, 65.0))
    # Those in flight at the beginning, those sent in the moment after, and eight at most in a trial.
    assert server.refused <= 64 + 64 + 8 * 40


def test_a_retry_after_is_kept_by_calls_that_were_not_refused_themselves() -> None:
    random.seed(1)
    server = Server(64, 0.2, [(5.0, 6.0)], 30.0)
    run(keep_busy(server, FixedPace(64), 200, 34.0))
    assert server.rate(6.5, 34.0) <= 3  # a first refusal may be the level's fault; the second one closes the gate
    assert server.refused <= 128


def test_a_query_waits_for_an_outage_to_end() -> None:
    async def scenario() -> float:
        limiter = Limiter(FixedPace(4))
        for _ in range(2):
            with pytest.raises(ModelUnavailable):
                async with limiter.slot(1, 1, 0):
                    await asyncio.sleep(ROUND_TRIP)
                    raise ModelUnavailable("429", 7.0, overloaded=True)
        assert not limiter.has_room
        await limiter.wait_for_room()
        return asyncio.get_running_loop().time()

    assert 7.0 <= run(scenario()) <= 7.5


def test_the_gate_opens_again_in_another_event_loop() -> None:
    limiter = Limiter(FixedPace(1))

    async def refused() -> None:
        with pytest.raises(ModelUnavailable):
            async with limiter.slot(1, 1, 0):
                raise ModelUnavailable("429", 1.0, overloaded=True)

    async def answered() -> None:
        async with limiter.slot(1, 1, 0) as call:
            call.finished(1)

    run(refused())
    run(refused())
    run(answered())
