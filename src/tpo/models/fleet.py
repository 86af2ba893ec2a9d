"""One model on one server or on several equal ones: which server gets which query, and what happens when one dies.

All calls of a query go to the same server, whose prefix cache holds the conversation.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, TypeVar

from tpo.errors import InputError, ModelError, ModelUnavailable
from tpo.messages import Conversation, text_of
from tpo.models.openai import OpenAIModel
from tpo.models.profiles import Profile
from tpo.models.protocol import Model, Receiver, Request
from tpo.scheduling.limiter import Limiter
from tpo.scheduling.pace import START, AdaptivePace, FixedPace, Pace

# Chooses how many sequences a server with such a profile has in flight.
PaceRule: TypeAlias = Callable[[Profile], Pace]
Key = TypeVar("Key")

# Seconds for which a server that died is left alone; it doubles each time, up to the last.
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0
# For how much room a call may take: a token is about four characters of English, and fewer of anything else.
_CHARACTERS_PER_TOKEN = 3
_DEFAULT_TOKENS = 1024


class Server:
    """One of the servers.

    Args:
        model: the model as it is served there.
        limiter: what may be in flight there; servers that are the same machine share one.

    Attributes:
        queries: queries that it serves.
    """

    def __init__(self, model: Model, limiter: Limiter) -> None:
        self.model = model
        self.limiter = limiter
        self.queries = 0
        self._answered_at = float("-inf")
        self._rests_until = 0.0
        self._pause = _FIRST_PAUSE

    def rests(self, now: float) -> bool:
        """Whether it failed a moment ago and gets no new calls yet."""
        return now < self._rests_until

    def answered_since(self, when: float) -> bool:
        """Whether it answered any call since then."""
        return self._answered_at >= when

    def answered(self) -> None:
        """Note that it answered."""
        self._answered_at = time.monotonic()
        self._rests_until = 0.0
        self._pause = _FIRST_PAUSE

    def died(self) -> None:
        """Send it nothing for a while."""
        now = time.monotonic()
        if not self.rests(now):
            self._rests_until = now + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    @property
    def load(self) -> float:
        """Its work as a share of what it takes."""
        return (self.limiter.live + self.limiter.waiting + self.queries) / max(self.limiter.pace.limit, 1)


class Fleet:
    """A model on one or more servers.

    Args:
        servers: at least one; all serve the same model.

    Raises:
        InputError: they serve different models.
    """

    def __init__(self, servers: Sequence[Server]) -> None:
        self.servers = list(servers)
        names = sorted({model_name(server.model) for server in servers})
        if len(names) > 1:
            raise InputError(f"The servers of one role serve different models ({', '.join(names)}): one is expected.")
        self.name = names[0]

    @property
    def where(self) -> str:
        """The model with the first server."""
        return self.servers[0].model.name

    @property
    def profile(self) -> Profile:
        """How the servers behave."""
        return self.servers[0].model.profile

    @property
    def roomiest(self) -> Server:
        """The server for a new query: of those that are alive, the one with the least work."""
        if len(self.servers) == 1:
            return self.servers[0]
        now = time.monotonic()
        alive = [server for server in self.servers if not server.rests(now)]
        return min(alive or self.servers, key=lambda server: server.load)

    async def room(self) -> None:
        """Wait until one of the servers would take a new query's calls at once."""
        now = time.monotonic()
        alive = [server for server in self.servers if not server.rests(now)] or self.servers
        if any(server.limiter.has_room for server in alive):
            return
        waits = [asyncio.ensure_future(server.limiter.wait_for_room()) for server in alive]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    @property
    def limit(self) -> int:
        """Sequences that may be in flight at all servers together."""
        return sum(server.limiter.pace.limit for server in self.servers)

    @property
    def live(self) -> int:
        """Sequences in flight at all servers together."""
        return sum(server.limiter.live for server in self.servers)

    def seat(self) -> Seat:
        """Assign a query to one of the servers."""
        return Seat(self)

    async def aclose(self) -> None:
        """Close all connections."""
        for server in self.servers:
            await server.model.aclose()


class Seat:
    """The model for one query: always the same server, for as long as that lives.

    Args:
        fleet: the servers.

    Attributes:
        on_call: called for each call, when it is queued.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._server = fleet.roomiest
        self._server.queries += 1
        self.on_call: Callable[[], None] = lambda: None

    @property
    def name(self) -> str:
        """The model's name without its server: moving a server changes no result."""
        return self._fleet.name

    @property
    def profile(self) -> Profile:
        """How the servers behave."""
        return self._fleet.profile

    async def generate(self, request: Request, receiver: Receiver) -> None:
        """Make one call, when there is room; see `tpo.models.protocol.Model`."""
        server = self._served_by()
        self.on_call()
        began = time.monotonic()
        tokens = request.n * (request.max_tokens or _DEFAULT_TOKENS) + estimated_tokens(request.messages)
        try:
            async with server.limiter.slot(request.n, tokens, request.urgency) as call:
                receiver.on_start()
                before = receiver.usage.completion_tokens
                await server.model.generate(request, receiver)
                call.finished(receiver.usage.completion_tokens - before)
        except ModelUnavailable as error:
            if error.unreachable and not server.answered_since(began):
                server.died()
            if error.unreachable or error.overloaded:
                # No call got an answer anywhere: the fault is not this call's.
                error.down = not any(other.answered_since(began) for other in self._fleet.servers)
            raise
        except ModelError:
            server.answered()  # a refusal shows that the server is alive
            raise
        server.answered()

    async def aclose(self) -> None:
        """End the query's use of its server."""
        self._server.queries -= 1

    def _served_by(self) -> Server:
        if self._server.rests(time.monotonic()):
            self._server.queries -= 1
            self._server = self._fleet.roomiest
            self._server.queries += 1
        return self._server


def seats(fleets: Mapping[Key, Fleet]) -> dict[Key, Seat]:
    """A query's places, one in each fleet: roles that share a fleet share the server, and with it the cache."""
    taken: dict[int, Seat] = {}
    for fleet in fleets.values():
        if id(fleet) not in taken:
            taken[id(fleet)] = fleet.seat()
    return {role: taken[id(fleet)] for role, fleet in fleets.items()}


def pace_for_one(profile: Profile) -> Pace:
    """The pace for a single query: as many sequences as the server's profile allows."""
    return FixedPace(profile.parallel)


def pace_for_many(concurrency: int | None = None) -> PaceRule:
    """The pace for many queries at once.

    Args:
        concurrency: sequences in flight at each server; None measures what the server takes.
    """

    def rule(profile: Profile) -> Pace:
        if concurrency is not None:
            return FixedPace(concurrency)
        return FixedPace(profile.parallel) if profile.slots else AdaptivePace(START)

    return rule


class ServerLimits:
    """The limiters of servers, one for each machine, shared by all models that are served there.

    Args:
        pace: how many sequences a server has in flight.
        limiters: those that exist, by machine; new ones are added.
    """

    def __init__(self, pace: PaceRule, limiters: dict[str, Limiter] | None = None) -> None:
        self._pace = pace
        self._limiters = {} if limiters is None else limiters

    def of(self, model: Model) -> Limiter:
        """The limiter of the machine that serves a model."""
        machine = model.endpoint.shown if isinstance(model, OpenAIModel) else f"object {id(model)}"
        if machine not in self._limiters:
            self._limiters[machine] = Limiter(self._pace(model.profile), model.profile.room)
        return self._limiters[machine]


def model_name(model: Model) -> str:
    """A model's name without the server's."""
    return getattr(model, "model", None) or model.name


def estimated_tokens(messages: Conversation) -> int:
    """About as many tokens as a prompt has."""
    return sum(len(text_of(message)) for message in messages) // _CHARACTERS_PER_TOKEN
