"""How many sequences a server should have in flight, measured without knowing the server.

A server's throughput grows with the sequences in flight until it is full; beyond that they only wait in its queue, and
in the end are refused. So the limit begins low and doubles while that pays; then it tries a little more and a little
less; and a refusal lowers it at once.

Throughput is computed from finished calls: sequences in flight times the tokens that one of them gets in a second.
Unlike a count of what finished in a window, it is as exact with few calls as with many; long answers do not bias it.
"""

from __future__ import annotations

from typing import Protocol

START = 16
MOST = 1024


class Pace(Protocol):
    """Decides how many sequences may be in flight."""

    @property
    def limit(self) -> int:
        """Sequences that may be in flight now."""
        ...

    def finished(self, sent_at: float, now: float, sequences: int, tokens: int, live: int) -> None:
        """A call came back.

        Args:
            sent_at: seconds when it was sent, on any clock.
            now: seconds now, on the same clock.
            sequences: how many sequences it was.
            tokens: tokens that it generated.
            live: sequences that were in flight then.
        """
        ...

    def overloaded(self, sent_at: float, now: float, live: int, retry_after: float = 0.0) -> None:
        """A call was refused because the server has too much to do.

        Args:
            sent_at: as for `finished`.
            now: as for `finished`.
            live: sequences that were in flight.
            retry_after: the server's Retry-After in seconds; 0 without one.
        """
        ...


class FixedPace:
    """A limit that stays.

    Args:
        limit: sequences in flight.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def finished(self, sent_at: float, now: float, sequences: int, tokens: int, live: int) -> None:
        """Nothing to learn."""

    def overloaded(self, sent_at: float, now: float, live: int, retry_after: float = 0.0) -> None:
        """Nothing to change: the user set this limit."""


# Doubling goes on while it brings at least this share more; a full server brings nothing. The last doubling stays: too
# much only waits in the server's queue, too little leaves it idle.
_DOUBLING_PAYS = 1.15
_DOUBLING_HURTS = 0.85
# Small steps: what a fourth more in flight has to bring, and what a fifth less may cost.
_STEP = 1.25
_MORE_PAYS = 1.05
_LESS_COSTS = 0.97
# A refusal lowers the limit to this share, at most once in a round trip. While nothing is accepted the limit stays at
# _FLOOR of what worked before: then its size is not why the server refuses. As calls are accepted again, the limit goes
# back to nearly where it was refused, as fast as calls finish.
_BACK_OFF = 0.8
_FLOOR = 0.5
_BACK_TO = 0.95
# Of the seconds that calls take, how much the newest one counts.
_NEWEST = 0.1
# A round trip counts as this long at most: long answers would delay every reaction.
_LONGEST_ROUND_TRIP = 10.0
# No step up costs, and no step down brings, as much as this factor; where it did, the server itself changed.
_PLAUSIBLE = 1.5
# A window is so many times the limit in finished sequences: small steps show only in long windows.
_WINDOW = 2
_LONG_WINDOW = 6
_FEWEST = 8
# Windows between two tries; each try that changes nothing makes the next one rarer.
_REST = 1
_LONGEST_REST = 8
_BUSY = 0.8


class AdaptivePace:
    """Finds the server's limit while it works.

    Args:
        start: sequences in flight at the beginning.
        most: sequences in flight at most.
    """

    def __init__(self, start: int = START, most: int = MOST) -> None:
        self.limit = min(start, most)
        self._most = most
        self._doubling = True
        self._changed_at = float("-inf")
        self._window = _Window()
        # What the limit was before the try under way, and what it brought.
        self._before: tuple[int, float] | None = None
        self._rest = self._resting = 0
        self._upwards = True
        self._doubted = False
        # Most sequences in flight among which calls were answered.
        self._worked = 0
        self._round_trip = 0.0
        self._no_step_before = float("-inf")
        # Where the limit was when it was first refused; None when it is back there, or nearly.
        self._refused_limit: int | None = None
        self._accepted = self._was_doubling = True

    def finished(self, sent_at: float, now: float, sequences: int, tokens: int, live: int) -> None:
        """See `Pace`."""
        seconds = min(now - sent_at, _LONGEST_ROUND_TRIP)
        self._round_trip += (seconds - self._round_trip) * (_NEWEST if self._round_trip else 1.0)
        if sent_at < self._changed_at:
            return  # it ran under the former limit
        self._worked = max(self._worked, live)
        self._accepted = True
        if self._refused_limit is not None:
            self._go_back(self._refused_limit, sequences, now)
            return
        self._window.add(now - sent_at, sequences, tokens, live)
        if self._window.sequences >= max((_WINDOW if self._doubling else _LONG_WINDOW) * self.limit, _FEWEST):
            window, self._window = self._window, _Window()
            # With too little to do the limit has no effect, and the window shows nothing about it.
            if window.live >= _BUSY * self.limit:
                self._judge(window.live * window.speed, now)

    def overloaded(self, sent_at: float, now: float, live: int, retry_after: float = 0.0) -> None:
        """See `Pace`."""
        if sent_at < self._changed_at or now < self._no_step_before:
            return  # sent before the limit was lowered, or within the same round trip
        # With more in flight than ever got answers, the refusal shows what the server takes.
        level = min(self.limit, live) if live > self._worked else self.limit
        if self._refused_limit is None or self._accepted:
            self._refused_limit = level
            self._was_doubling, self._doubling = self._doubling, self._doubling and live <= self._worked
        else:
            # Nothing was accepted in between: an outage, which does not show what the server takes.
            self._doubling = self._was_doubling
        self._accepted = False
        self._before = None
        self._rest = self._resting = _LONGEST_REST
        self._upwards = False
        self._no_step_before = now + max(self._round_trip, retry_after)
        self._set(max(int(level * _BACK_OFF), round(self._refused_limit * _FLOOR)), now)
        self._worked = min(self._worked, self.limit)

    def _go_back(self, refused: int, sequences: int, now: float) -> None:
        back = int(refused * _BACK_TO)
        if self.limit + sequences < back:
            self.limit += sequences
        else:
            self._refused_limit = None
            self._set(max(self.limit, back), now)

    def _judge(self, throughput: float, now: float) -> None:
        if self._before is not None:
            self._compare(throughput, now)
        elif self._doubling or self._resting <= 0:
            self._try(throughput, now)
        else:
            self._resting -= 1

    def _try(self, throughput: float, now: float) -> None:
        factor = 2.0 if self._doubling else _STEP if self._upwards else 1 / _STEP
        wanted = max(self.limit + 1, round(self.limit * factor)) if factor > 1 else int(self.limit * factor)
        wanted = min(max(wanted, 1), self._most)
        if wanted == self.limit:
            self._settle()
            return
        self._before = (self.limit, throughput)
        self._set(wanted, now)

    def _compare(self, throughput: float, now: float) -> None:
        assert self._before is not None
        limit, throughput_before = self._before
        self._before = None
        gain = throughput / throughput_before if throughput_before > 0 else 1.0
        changed = gain < 1 / _PLAUSIBLE if self.limit > limit else gain > _PLAUSIBLE
        if changed and not self._doubted:
            # Measured again, and believed the second time.
            self._doubted = True
            self._set(limit, now)
            return
        self._doubted = False
        if self._doubling:
            self._doubling = gain >= _DOUBLING_PAYS
            if self._doubling:
                self._try(throughput, now)
            else:
                self._upwards = False  # a little less may do
                if gain < _DOUBLING_HURTS:
                    self._set(limit, now)
            return
        if gain >= (_MORE_PAYS if self.limit > limit else _LESS_COSTS):
            self._rest = _REST
            self._try(throughput, now)  # and on in the same direction
            return
        self._set(limit, now)
        self._settle()

    def _settle(self) -> None:
        self._upwards = not self._upwards
        self._rest = min(max(2 * self._rest, _REST), _LONGEST_REST)
        self._resting = self._rest

    def _set(self, limit: int, now: float) -> None:
        self.limit = min(max(limit, 1), self._most)
        self._changed_at = now
        self._window = _Window()


class _Window:
    """Finished calls: what one sequence gets in a second, and how many were in flight."""

    def __init__(self) -> None:
        self.sequences = 0
        self._tokens = 0
        self._seconds = 0.0
        self._live = 0

    def add(self, seconds: float, sequences: int, tokens: int, live: int) -> None:
        self.sequences += sequences
        # A call without a token took a slot all the same.
        self._tokens += max(tokens, sequences)
        self._seconds += seconds * sequences
        self._live += live * sequences

    @property
    def speed(self) -> float:
        return self._tokens / self._seconds if self._seconds > 0 else 0.0

    @property
    def live(self) -> float:
        return self._live / self.sequences
