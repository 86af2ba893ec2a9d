"""The service behind the routes: models, rewards, and searches that share them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import msgspec

from tpo.config import NamedReward
from tpo.engine.events import Listener, both
from tpo.engine.journal import Journal
from tpo.engine.limits import Budget, Stopper
from tpo.engine.records import Called
from tpo.errors import ModelUnavailable, RewardUnavailable, TPOError
from tpo.methods.presets import Preset
from tpo.models.resolve import served_models
from tpo.prompts import Role
from tpo.scheduling.fleet import Fleet, model_name
from tpo.server.answered import Answered, best_of
from tpo.server.asked import Asked, Bounds, asked_for, steering
from tpo.server.errors import ApiError
from tpo.server.live import LiveRequests
from tpo.server.models import LISTED, Models
from tpo.server.wire.chat import ChatRequest
from tpo.server.wire.refusal import refused
from tpo.session.backends import AnyReward
from tpo.session.session import Session
from tpo.session.spec import Options, Spec, plan_of, specified

log = logging.getLogger("tpo.server")


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What is served.

    Attributes:
        options: what counts for a request that says nothing else, as `tpo.align` takes it.
        rewards: rewards that a request may name.
        require: rules that rank before each of them.
        bounds: what a client may ask for.
        presets: presets that are listed.
        concurrency: sequences in flight at each server; None finds out what it takes.
        patience: seconds for which an endpoint that is down or overloaded is tried again.
    """

    options: Options = {}
    rewards: dict[str, NamedReward] = {}
    require: Sequence[str] = ()
    bounds: Bounds = Bounds()
    presets: Sequence[str] = LISTED
    concurrency: int | None = None
    patience: float = 0.0


class Service:
    """Models, rewards, and what is being answered.

    Args:
        setup: what is served.
        live: what is being answered, for whoever looks on.
    """

    def __init__(self, setup: Setup, live: LiveRequests | None = None) -> None:
        self.setup = setup
        options: Options = {"rewards": setup.rewards, "require": setup.require, **setup.options}
        self.spec: Spec = specified(options)
        self._session = Session(self.spec, concurrency=setup.concurrency, patience=setup.patience, on_note=log.info)
        self.live = live or LiveRequests()
        self.created = int(time.time())
        self.models = Models([], setup.presets)
        self.opened = asyncio.Event()
        self.draining = False
        self.cut = False
        self._stack = AsyncExitStack()
        self._once = asyncio.Lock()
        self._stoppers: set[Stopper] = set()

    async def open(self) -> None:
        """Connect to models and reward.

        Raises:
            InputError: what was set up cannot be used.
            ModelError: a model's server cannot be reached, or refuses.
            RewardError: so does the reward.
            CheckError: the reward is broken.
        """
        policy = self.spec.roles["policy"]
        names = [policy.model] if policy.model is not None else []
        if not names and isinstance(policy.where, str):
            names = await served_models(policy.where, "policy")
        await self.reward(None)
        if len(names) > 1:  # each is connected to when a request names it
            self.models = Models(names, self.setup.presets)
        else:
            fleets = await self._session.models()
            self.models = Models([model_name(fleets["policy"].servers[0].model)], self.setup.presets)
        self.opened.set()

    async def open_once(self) -> None:
        """Connect if nobody has; as `open`."""
        async with self._once:
            if not self.opened.is_set():
                await self.open()

    def at_end(self, close: Callable[[], object]) -> None:
        """Have something closed when everything is."""
        self._stack.callback(close)

    async def aclose(self) -> None:
        """Close everything."""
        await self._session.aclose()
        await self._stack.aclose()

    def drain(self) -> None:
        """Take nothing new."""
        self.draining = True

    def cut_short(self) -> None:
        """Have every search end with its best so far."""
        self.draining = self.cut = True
        for stopper in list(self._stoppers):
            stopper.stop("interrupt")

    def expect_ready(self) -> None:
        """See that there is somebody to ask.

        Raises:
            ApiError: not yet, or not any more.
        """
        if self.draining or not self.opened.is_set():
            why = "The server is being stopped." if self.draining else "The server has not reached its models yet."
            raise ApiError(503, f"{why} Try again.", "server_error", code="not_ready", headers={"retry-after": "5"})

    async def fleets(self, model: str) -> dict[Role, Fleet]:
        """Who plays which role for one of the policy's models.

        Raises:
            ModelError: it cannot be reached.
        """
        return await self._session.models(model if len(self.models.names) > 1 else None)

    async def reward(self, name: str | None) -> AnyReward | None:
        """A reward by its name; the server's own without one.

        Raises:
            BadRequest: there is none of that name.
            RewardError: it cannot be reached.
            CheckError: it is broken.
        """
        if name is not None and name not in self.spec.rewards:
            known = ", ".join(self.spec.rewards) or "none: name some in the server's tpo.toml"
            raise refused("tpo.reward", f"is {name[:100]!r}, which is no reward of this server. Known are {known}")
        return await self._session.reward(name)

    def asked(self, request: ChatRequest, body: Mapping[str, Any], preset: Preset | None) -> Asked:
        """Find out what a client wants; see `asked_for`."""
        # Prompts are compiled once, when the service is made: it takes 10 ms.
        return asked_for(request, body, preset, self.setup.options, self.setup.bounds, self.spec.prompts)

    async def answer(
        self, asked: Asked, model: str, id: str, waited: float, listen: Listener, spend: Callable[[int], None]
    ) -> Answered:
        """Answer a request.

        Args:
            asked: what is wanted.
            model: the policy's model.
            id: the answer's id.
            waited: seconds that passed since the request came.
            listen: told of everything that happens.
            spend: told of the tokens that it cost, however it ends.

        Raises:
            TPOError: there is no answer.
            ApiError: there was no time for one.
        """
        spec = asked.spec
        fleets = await self.fleets(model)
        reward = await self.reward(asked.reward) if spec.method.needs_reward else None
        steer = steering(asked, reward)
        budget = self._budget(spec.budget, waited)
        plan = plan_of(spec, asked.messages, {role: fleet.name for role, fleet in fleets.items()}, steer.reward)
        journal, stopper = Journal(), Stopper()
        self._stoppers.add(stopper)
        self.live.begin(id, journal.records)
        try:
            if self.cut:
                raise ApiError(503, "The server is being stopped.", "server_error", headers={"retry-after": "5"})
            result = await self._session.search(
                plan,
                spec,
                fleets,
                steer.reward,
                journal,
                budget=budget,
                stopper=stopper,
                on_event=both(steer.listen, listen),
            )
            return Answered(result, best_of(result, asked.n))
        except TPOError as error:
            if error.partial is not None and error.partial.answer:
                return Answered(error.partial, best_of(error.partial, asked.n), str(error))
            if stopper.reason == "deadline":
                said = "The time ran out before the first word of an answer."
                raise ApiError(504, said, "upstream_error", code="deadline_exceeded") from error
            raise
        finally:
            self._stoppers.discard(stopper)
            self.live.end(id)
            spend(sum(record.usage.total for record in journal.records if isinstance(record, Called)))

    def _budget(self, budget: Budget, waited: float) -> Budget:
        most = self.setup.bounds.seconds
        if most is None:
            return budget
        left = most - waited
        if left <= 0:
            raise ApiError(503, f"There was no place for this request within {most:g} s.", "server_error")
        return Budget(budget.tokens, min(budget.seconds or left, left))


async def open_patiently(service: Service, every: float = 5.0) -> None:
    """Connect to what may not be up yet: containers start in any order.

    Args:
        service: what is to be opened.
        every: seconds between two tries.

    Raises:
        TPOError: waiting does not help.
    """
    while True:
        try:
            await service.open()
        except (ModelUnavailable, RewardUnavailable) as error:
            log.warning("%s Trying again in %g s.", error, every)
            await asyncio.sleep(every)
        else:
            return
