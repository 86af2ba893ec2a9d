"""How several workers share the same servers.

A limit that was given (`--concurrency`), or that the server's profile has, holds for all workers together: each has an
equal part of it, which changes when workers come and go. Otherwise each measures its own limit, as a single process
does: the calls of the others make the server look busier.
"""

from __future__ import annotations

from collections.abc import Mapping

from tpo.models.fleet import Fleet
from tpo.models.profiles import Profile
from tpo.prompts import Role
from tpo.scheduling.limiter import Limiter
from tpo.scheduling.pace import START, AdaptivePace, FixedPace, Pace


class SharedLimits:
    """The limits of one worker.

    Args:
        concurrency: sequences in flight at each server, all workers together; None measures it.

    Attributes:
        place: the worker's place among all that are alive, and how many these are.
        limiters: what bounds the servers, once they are known.
    """

    def __init__(self, concurrency: int | None) -> None:
        self._concurrency = concurrency
        self.place = (0, 1)
        self.limiters: list[Limiter] = []

    def of(self, profile: Profile) -> Pace:
        """The pace for a server."""
        if self._concurrency is not None:
            return SharedPace(self, self._concurrency)
        if profile.slots:
            return SharedPace(self, profile.parallel)
        return AdaptivePace(max(1, START // self.place[1]))


class SharedPace(FixedPace):
    """This worker's part of a number of sequences.

    Args:
        limits: knows the worker's place.
        total: sequences of all workers together.
    """

    def __init__(self, limits: SharedLimits, total: int) -> None:
        self._limits = limits
        self._total = total

    @property
    def limit(self) -> int:  # type: ignore[override]
        """Sequences that may be in flight now: at least one, so that every worker makes progress."""
        place, workers = self._limits.place
        return max(1, self._total // workers + (place < self._total % workers))


def limiters_of(fleets: Mapping[Role, Fleet]) -> list[Limiter]:
    """What bounds the servers: one for each machine, in the order of the roles."""
    found: dict[int, Limiter] = {}
    for fleet in fleets.values():
        for server in fleet.servers:
            found.setdefault(id(server.limiter), server.limiter)
    return list(found.values())
