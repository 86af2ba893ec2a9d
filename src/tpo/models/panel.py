"""A panel: several policies in one search, each an arm with a name.

The answers of an action are shared out among the arms; which answer is drawn from which arm follows from its place in
the search alone, so that a seeded search repeats. An arm that fails is left out for a while, and the others draw its
answers. The first arm is the lead: it writes what is not drawn but asked for, such as critiques, and single merges.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tpo.errors import InputError, ModelError
from tpo.http.failures import ContextOverflow
from tpo.http.redaction import without_passwords
from tpo.models.fleet import Fleet, Seat
from tpo.models.protocol import Receiver, Request

# Seconds for which an arm that failed is left out; it doubles each time, up to the last.
_FIRST_PAUSE = 15.0
_LONGEST_PAUSE = 300.0
_MOST_ARMS = 16

_NAMED = re.compile(r"([A-Za-z0-9][\w.\-]*)=(.+)", re.DOTALL)
_MODEL_AT = re.compile(r"([^@]+)@(https?://.+)", re.DOTALL)


class ArmSpec:
    """An arm as a user names it.

    Args:
        where: as for a policy: a URL, `embedded`, `gguf:PATH`, `hub:ORG/REPO`, `MODEL@URL`, or a `Model`.

    Attributes:
        where: the same without the model's name.
        model: the model's name there; None where one is served.
    """

    def __init__(self, where: Any) -> None:
        found = _MODEL_AT.fullmatch(where) if isinstance(where, str) else None
        self.model: str | None = found[1].strip() if found else None
        self.where: Any = found[2].strip() if found else where

    @property
    def is_embedded(self) -> bool:
        """Whether it runs in this process, where two engines at once slow each other down."""
        return isinstance(self.where, str) and not self.where.startswith(("http://", "https://"))


def arms_of(policy: Any) -> dict[str, Any] | None:
    """The arms that a policy names, by name; None where it is no panel.

    Args:
        policy: a mapping from names to policies, or a list of texts such as "a=URL".

    Raises:
        InputError: it is a list, but an arm has no name, two have the same, or there are too many or too few.
    """
    if isinstance(policy, Mapping):
        arms = {str(name): where for name, where in policy.items()}
    elif isinstance(policy, list | tuple):
        found = [_NAMED.fullmatch(one.strip()) if isinstance(one, str) else None for one in policy]
        for given, named in zip(policy, found, strict=True):
            if named is None:
                raise InputError(
                    f"The policy {without_passwords(given)!r} has no name: each of several is NAME=URL, such as a=http://localhost:8000/v1."
                )
        names = [named[1] for named in found if named is not None]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"Two policies are called {twice[0]!r}: give each its own name.")
        arms = {named[1]: named[2].strip() for named in found if named is not None}
    else:
        return None
    if not 1 <= len(arms) <= _MOST_ARMS:
        raise InputError(f"There are {len(arms)} policies; a panel has 1 to {_MOST_ARMS}.")
    if odd := next((name for name in arms if not _NAMED.fullmatch(f"{name}=x")), None):
        raise InputError(f"A policy cannot be called {odd!r}: letters, digits, dots, dashes and _ are possible.")
    return arms


def key_role_of(arm: str) -> str:
    """What an arm's key is found by: what one arm's server accepts, another's must not see."""
    return "policy_" + re.sub(r"\W", "_", arm)


class _Circuit:
    """Whether an arm is in use."""

    def __init__(self) -> None:
        self.rests_until = 0.0
        self.pause = _FIRST_PAUSE

    def open(self) -> bool:
        """Leave the arm out for a while; whether it was in use before."""
        now = time.monotonic()
        if now < self.rests_until:
            return False
        self.rests_until = now + self.pause
        self.pause = min(2 * self.pause, _LONGEST_PAUSE)
        return True

    def close(self) -> None:
        """Use the arm again."""
        self.rests_until, self.pause = 0.0, _FIRST_PAUSE


class Panel(Fleet):
    """Several policies as one.

    Args:
        arms: by name, the lead first.
        embedded: arms that run in this process; they generate one after the other.
        on_note: called with a sentence when an arm is left out.
    """

    def __init__(
        self,
        arms: Mapping[str, Fleet],
        embedded: Sequence[str] = (),
        on_note: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.arms = dict(arms)
        self.servers = [server for fleet in arms.values() for server in fleet.servers]
        self.name = f"panel({', '.join(f'{name}={fleet.name}' for name, fleet in arms.items())})"
        self._embedded = frozenset(embedded)
        self._engine = asyncio.Lock()
        self._circuits = {name: _Circuit() for name in arms}
        self._note = on_note

    @property
    def where(self) -> str:
        """The models with their servers."""
        return f"panel({', '.join(f'{name}={fleet.where}' for name, fleet in self.arms.items())})"

    @property
    def in_use(self) -> list[str]:
        """The arms that are not left out, in their order; all of them where none would be."""
        now = time.monotonic()
        return [name for name, circuit in self._circuits.items() if now >= circuit.rests_until] or list(self.arms)

    def arm(self, name: str) -> Fleet | None:
        """An arm by its name, or by its model's; None where there is none."""
        return self.arms.get(name) or next((fleet for fleet in self.arms.values() if fleet.name == name), None)

    @property
    def names(self) -> list[str]:
        """The names of the arms' models; the arms' own where two have the same model."""
        models = [fleet.name for fleet in self.arms.values()]
        return models if len(set(models)) == len(models) else list(self.arms)

    def leave_out(self, arm: str, error: ModelError) -> None:
        """Do without an arm for a while; not for a prompt that is too long, at which the arm is not at fault."""
        if isinstance(error, ContextOverflow):
            return
        if self._circuits[arm].open():
            self._note(f"The arm {arm} of the panel failed and is left out for now: {error}")

    def worked(self, arm: str) -> None:
        """Note that an arm answered."""
        self._circuits[arm].close()

    @asynccontextmanager
    async def turn_of(self, arm: str) -> AsyncIterator[None]:
        """Wait until an arm may generate: embedded ones do so one after the other."""
        if arm not in self._embedded:
            yield
            return
        async with self._engine:
            yield

    def seat(self) -> PanelSeat:
        """Assign a query to one server of each arm."""
        return PanelSeat(self)


class ArmSeat:
    """An arm for one query.

    Args:
        panel: what it belongs to.
        name: the arm's name.
    """

    def __init__(self, panel: Panel, name: str) -> None:
        self._panel = panel
        self._arm = name
        self.seat = panel.arms[name].seat()
        self.name = self.seat.name
        self.profile = self.seat.profile

    async def generate(self, request: Request, receiver: Receiver) -> None:
        """See `tpo.models.protocol.Model`."""
        async with self._panel.turn_of(self._arm):
            await self.seat.generate(request, receiver)

    async def aclose(self) -> None:
        """End the query's use of its server."""
        await self.seat.aclose()


class PanelSeat(Seat):
    """A panel for one query.

    Args:
        panel: the panel.

    Attributes:
        panel: the same.
        arms: its arms by name.
    """

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.arms = {name: ArmSeat(panel, name) for name in panel.arms}
        self._fleet = panel

    @property
    def on_call(self) -> Callable[[], None]:
        """Called for each call, when it is queued."""
        return next(iter(self.arms.values())).seat.on_call

    @on_call.setter
    def on_call(self, listen: Callable[[], None]) -> None:
        for arm in self.arms.values():
            arm.seat.on_call = listen

    async def generate(self, request: Request, receiver: Receiver) -> None:
        """Make one call of the lead, or of the first arm that is in use."""
        await self.arms[self.panel.in_use[0]].generate(request, receiver)

    async def aclose(self) -> None:
        """End the query's use of its servers."""
        for arm in self.arms.values():
            await arm.aclose()


def shared_out(indices: Sequence[int], width: int, arms: Sequence[str], turn: int) -> dict[str, list[int]]:
    """Which arm draws which answers of an action: neighbouring answers together, in shares that differ by one at most.

    Args:
        indices: the answers that are wanted, of those from 0 to `width` - 1.
        width: how many answers the action has.
        arms: the arms in their order, at least one.
        turn: turns the order: by the answers before, so that over several actions shares differ by one at most, too.
    """
    start = turn % len(arms)
    order = [*arms[start:], *arms[:start]]
    least, more = divmod(width, len(order))
    # The first arms of the order have one answer more, and the next action's order begins after them.
    places = [arm for place, arm in enumerate(order) for _ in range(least + (place < more))]
    shares: dict[str, list[int]] = {}
    for index in indices:
        shares.setdefault(places[index], []).append(index)
    return shares
