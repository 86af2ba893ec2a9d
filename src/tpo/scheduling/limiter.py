"""Bounds what is in flight at one server: calls wait until there is room for their sequences, the most urgent first.

Where calls have owners (the clients of `tpo serve`), the owner with the fewest sequences in flight goes first.

While a server refuses all calls, they are held back, and a few are let through to see when it accepts work again. A
server that is only too full accepts calls again as soon as fewer are in flight; that is for the pace
(`tpo.scheduling.pace`). A server that refuses calls sent after the first refusal, with none accepted in between,
refuses whatever is sent: a rate limit, a restart. Sending less does not help then, and sending more wastes calls.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import NamedTuple

from tpo.errors import ModelUnavailable
from tpo.scheduling.pace import Pace


class Owner(NamedTuple):
    """The client that calls are made for.

    Attributes:
        name: its name.
        weight: its share of a full server, against that of other owners.
    """

    name: str | None = None
    weight: float = 1.0


NOBODY = Owner()
# The owner of the calls that are made in a task.
call_owner: ContextVar[Owner] = ContextVar("call_owner", default=NOBODY)

# Timers may fire a little early, by the clock's resolution.
_TIMER_MARGIN = 0.001


class Limiter:
    """Bounds what is in flight at one server.

    Args:
        pace: how many sequences may be in flight.
        tokens: tokens that all of them may take together (prompts, and answers at their longest); None for any number.

    Attributes:
        live: sequences in flight.
        tokens: their tokens.
    """

    def __init__(self, pace: Pace, tokens: int | None = None) -> None:
        self.pace = pace
        self.live = 0
        self.tokens = 0
        self._most_tokens = tokens
        self._order = itertools.count()
        # For each owner its calls that wait, as a heap, its sequences in flight, and the number of its latest call.
        self._waiting: dict[Owner, list[tuple[int, int, _Waiter]]] = {}
        self._live_of: Counter[Owner] = Counter()
        self._latest: dict[Owner, int] = {}
        self._admitted = itertools.count(1)
        self._room: asyncio.Event | None = None
        self._gate = OutageGate()
        self._wake: tuple[asyncio.AbstractEventLoop, float] | None = None

    @property
    def waiting(self) -> int:
        """Calls that wait for room."""
        return sum(not waiter.future.done() for line in self._waiting.values() for _, _, waiter in line)

    @property
    def has_room(self) -> bool:
        """Whether a call that came now would be sent at once."""
        return (
            not self._waiting
            and self.live < self.pace.limit
            and not self._full(1)
            and self._gate.changes_at(asyncio.get_running_loop().time()) is None
        )

    @asynccontextmanager
    async def slot(self, sequences: int, tokens: int, urgency: int) -> AsyncIterator[AdmittedCall]:
        """Wait for room, and keep it for as long as the call takes.

        Args:
            sequences: how many sequences the call is.
            tokens: tokens that it may take in all.
            urgency: of one owner's calls the highest goes first; of equals, the one that came first.
        """
        waiter = _Waiter(sequences, tokens, call_owner.get())
        heapq.heappush(self._waiting.setdefault(waiter.owner, []), (-urgency, next(self._order), waiter))
        self._admit()
        try:
            await waiter.future
        except asyncio.CancelledError:
            if waiter.admitted:
                self._leave(waiter)
            else:
                self._admit()  # the calls behind it
            raise
        call = AdmittedCall(self, sequences)
        try:
            yield call
        except ModelUnavailable as error:
            if error.overloaded:
                self._refused(call.sent_at, error.retry_after)
            raise
        finally:
            self._leave(waiter)

    async def wait_for_room(self) -> None:
        """Wait until a new query's calls would be sent at once."""
        while not self.has_room:
            self._room = self._room or asyncio.Event()
            self._wake_when_the_gate_changes(asyncio.get_running_loop().time())
            await self._room.wait()

    def answered(self, sent_at: float, sequences: int, tokens: int) -> None:
        """Learn from a call that was answered; see `Pace.finished`."""
        self._gate.accepted(sent_at)
        self.pace.finished(sent_at, asyncio.get_running_loop().time(), sequences, tokens, self.live)

    def _refused(self, sent_at: float, retry_after: float | None) -> None:
        now = asyncio.get_running_loop().time()
        self.pace.overloaded(sent_at, now, self.live, retry_after or 0.0)
        self._gate.refused(sent_at, now, retry_after)

    def _leave(self, waiter: _Waiter) -> None:
        self.live -= waiter.sequences
        self.tokens -= waiter.tokens
        self._live_of[waiter.owner] -= waiter.sequences
        if not self._live_of[waiter.owner]:
            del self._live_of[waiter.owner]
        if not self._live_of and not self._waiting:
            self._latest.clear()  # or all owners that ever were would stay
        self._admit()

    def _full(self, tokens: int) -> bool:
        return self._most_tokens is not None and self.live > 0 and self.tokens + tokens > self._most_tokens

    def _admit(self) -> None:
        now = asyncio.get_running_loop().time()
        while (waiter := self._first()) is not None:
            # A call larger than the limit goes when nothing else is in flight.
            if self.live and self.live + waiter.sequences > self.pace.limit:
                break
            if self._full(waiter.tokens) or not self._gate.lets(waiter.sequences, self.pace.limit, now):
                break
            heapq.heappop(self._waiting[waiter.owner])
            self._live_of[waiter.owner] += waiter.sequences
            self._latest[waiter.owner] = next(self._admitted)
            self._gate.sent(waiter.sequences, now)
            waiter.admitted = True
            self.live += waiter.sequences
            self.tokens += waiter.tokens
            waiter.future.set_result(None)
        if self._room is not None and self.has_room:
            self._room.set()
            self._room = None
        if self._waiting or self._room is not None:
            self._wake_when_the_gate_changes(now)

    def _first(self) -> _Waiter | None:
        """The call that is next."""
        for owner, line in [*self._waiting.items()]:
            while line and line[0][2].future.done():  # cancelled while it waited
                heapq.heappop(line)
            if not line:
                del self._waiting[owner]
        if not self._waiting:
            return None
        owner = min(self._waiting, key=lambda owner: (self._live_of[owner] / owner.weight, self._latest.get(owner, 0)))
        return self._waiting[owner][0][2]

    def _wake_when_the_gate_changes(self, now: float) -> None:
        at, loop = self._gate.changes_at(now), asyncio.get_running_loop()
        # A limiter may outlive its event loop, whose timers then never fire.
        if at is not None and (self._wake is None or self._wake[0] is not loop or not now < self._wake[1] <= at):
            self._wake = (loop, at)
            loop.call_at(at + _TIMER_MARGIN, self._admit)


class AdmittedCall:
    """A call that was let through.

    Attributes:
        sent_at: when, in seconds of the event loop's clock.
    """

    def __init__(self, limiter: Limiter, sequences: int) -> None:
        self._limiter = limiter
        self._sequences = sequences
        self.sent_at = asyncio.get_running_loop().time()

    def finished(self, tokens: int) -> None:
        """Report that the call was answered with so many tokens."""
        self._limiter.answered(self.sent_at, self._sequences, tokens)


class _Waiter:
    __slots__ = ("admitted", "future", "owner", "sequences", "tokens")

    def __init__(self, sequences: int, tokens: int, owner: Owner) -> None:
        self.sequences = sequences
        self.tokens = tokens
        self.owner = owner
        self.admitted = False
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()


# Seconds for which the gate stays closed: this share of the outage so far, within these bounds.
_SHARE = 0.25
_SHORTEST = 0.1
_LONGEST = 10.0
# A Retry-After beyond this fails the calls themselves (`LONGEST_WAIT` of retries).
_LONGEST_RETRY_AFTER = 120.0
# Seconds without a refusal that count as acceptance: twice what a refusal takes, and at least this.
_QUIET = 0.1
# Seconds without any refusal after which the next one begins another outage.
_FORGOTTEN = 10.0


class OutageGate:
    """Whether calls may be sent now.

    The gate closes for a moment that grows with the outage, or for the server's Retry-After. Then it tries a few calls,
    and opens again as soon as one is accepted, or none is refused for longer than refusals take. Times are seconds on
    one monotonic clock.

    Attributes:
        closed_until: nothing is sent before this time.
        trial_until: from `closed_until` until this time only a few sequences are sent.
    """

    def __init__(self) -> None:
        self.closed_until = float("-inf")
        self.trial_until = float("-inf")
        self._refused_since: float | None = None
        self._refused_at = float("-inf")
        self._tried = 0

    def refused(self, sent_at: float, now: float, retry_after: float | None) -> None:
        """Note a refusal.

        Args:
            sent_at: when the call was sent.
            now: when the refusal came.
            retry_after: the server's Retry-After in seconds, if there is one.
        """
        forgotten = sent_at > max(self._refused_at, self.trial_until) + _FORGOTTEN
        self._refused_at = now
        if self._refused_since is None or forgotten:
            # The pace steps back; only calls sent from now on show whether that is enough.
            self._refused_since = now
            return
        if sent_at < max(self._refused_since, self.closed_until):
            return  # sent before the first refusal, or before the gate was opened for a trial
        pause = min(max(_SHARE * (now - self._refused_since), _SHORTEST), _LONGEST)
        if retry_after is not None:
            pause = max(pause, min(retry_after, _LONGEST_RETRY_AFTER))
        self.closed_until = now + pause
        self.trial_until = self.closed_until + max(2 * (now - sent_at), _QUIET)
        self._tried = 0

    def accepted(self, sent_at: float) -> None:
        """Note that a call was answered, sent at this time; one sent after the first refusal ends the outage."""
        if self._refused_since is not None and sent_at >= self._refused_since:
            self._refused_since = None
            self.closed_until = self.trial_until = float("-inf")

    def lets(self, sequences: int, limit: int, now: float) -> bool:
        """Whether a call of so many sequences may be sent.

        Args:
            sequences: what the call has.
            limit: sequences that the server takes in normal operation; a trial sends an eighth of them.
            now: the time.
        """
        if now < self.closed_until:
            return False
        return now >= self.trial_until or not self._tried or self._tried + sequences <= limit // 8

    def sent(self, sequences: int, now: float) -> None:
        """Count a call that was let through."""
        if self._refused_since is None:
            return
        if now < self.trial_until:
            self._tried += sequences
        elif self.trial_until > float("-inf"):
            # No call was refused in the trial. A later refusal begins another outage.
            self._refused_since = None
            self.closed_until = self.trial_until = float("-inf")

    def changes_at(self, now: float) -> float | None:
        """When the result of `lets` may change although no call returns; None where no time is set."""
        if now < self.closed_until:
            return self.closed_until
        return self.trial_until if now < self.trial_until else None
