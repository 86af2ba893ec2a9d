"""Holds calls back while a server refuses all of them, and lets a few through to see when it accepts work again.

A server that is only too full accepts calls again as soon as fewer are in flight; that is for the pace
(`tpo.scheduling.pace`). A server that refuses calls sent after the first refusal, with none accepted in between,
refuses whatever is sent: a rate limit, a restart. Sending less does not help then, and sending more wastes calls. The
gate closes for a moment that grows with the outage, or for the server's Retry-After. Then it tries a few calls, and
opens again as soon as one is accepted, or none is refused for longer than refusals take.
"""

from __future__ import annotations

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

    Times are seconds on one monotonic clock.

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
            retry_after: seconds that the server asks to wait, if it does.
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
