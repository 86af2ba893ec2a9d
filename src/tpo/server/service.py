"""The service behind the routes: models, rewards, and searches that share them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from tpo.config import NamedReward
from tpo.engine.events import Listener, both
from tpo.engine.journal import Journal
from tpo.engine.limits import Budget, Stopper
from tpo.engine.records import Called
from tpo.errors import ModelError, ModelUnavailable, RewardUnavailable, TPOError
from tpo.methods.cost import cost_of
from tpo.methods.presets import PANEL, Preset
from tpo.models.fleet import Fleet, model_name
from tpo.models.panel import Panel
from tpo.models.resolve import served_models
from tpo.options import ServeOptions
from tpo.prompts import Role
from tpo.rewards.protocol import Reward
from tpo.server.asgi import CancelScope
from tpo.server.errors import UPSTREAM, ApiError, not_ready, refused, stopping
from tpo.server.live import LiveRequests
from tpo.server.models import LISTED, Models
from tpo.server.protocols.request import GenerationRequest
from tpo.server.request_options import RequestOptions, request_options, with_dials
from tpo.session.response import SearchResult, best_of
from tpo.session.session import Session
from tpo.session.spec import Options, Spec, plan_of, specified
from tpo.session.traces import trace_journal
from tpo.telemetry.provider import addresses

log = logging.getLogger("tpo.server")


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What is served.

    Attributes:
        options: defaults of requests, as `tpo.align` takes them.
        rewards: rewards that a request may name.
        require: rules that rank before each of them.
        serving: how it is served: what a request may ask for, what is listed, how many requests at once.
    """

    options: Options = {}
    rewards: dict[str, NamedReward] = {}
    require: Sequence[str] = ()
    serving: ServeOptions = ServeOptions()

    @property
    def presets(self) -> Sequence[str]:
        """Presets that are listed."""
        return self.serving.preset or LISTED


class Durable(msgspec.Struct, frozen=True):
    """A search that continues after the server's end, in the next process.

    Attributes:
        trace: the file of its journal.
        stopper: ends it with its best answer so far; the server's end does not.
    """

    trace: Path
    stopper: Stopper


class Service:
    """Models, rewards, and searches under way.

    Args:
        setup: what is served.
        live: the journals of requests, for the page.

    Attributes:
        cut: searches are being ended with their best answer so far.
        blocks: blocks of other work, which the server's end cancels.
    """

    def __init__(self, setup: Setup, live: LiveRequests | None = None) -> None:
        self.setup = setup
        options: Options = {"rewards": setup.rewards, "require": setup.require, **setup.options}
        self.spec: Spec = specified(options)
        serving = setup.serving
        self._session = Session(self.spec, concurrency=serving.concurrency, patience=serving.patience, on_note=log.info)
        self.live = live or LiveRequests()
        self.created = int(time.time())
        self.models = Models([], setup.presets)
        self.opened = asyncio.Event()
        self.draining = False
        self.cut = False
        self._stack = AsyncExitStack()
        self._once = asyncio.Lock()
        self._stoppers: set[Stopper] = set()
        self.blocks: set[CancelScope] = set()
        # Models with presets, as they were described.
        self._descriptions: dict[tuple[str, str], dict[str, Any]] = {}

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
        await self._session.judge()
        if isinstance(policy.where, Mapping):
            panel = (await self._session.models())["policy"]
            assert isinstance(panel, Panel)
            self.models = Models(panel.names, self.setup.presets, self._described, panel=True)
        elif len(names) > 1:  # each is connected to when a request names it
            self.models = Models(names, self.setup.presets, self._described)
        else:
            fleets = await self._session.models()
            names = [model_name(fleets["policy"].servers[0].model)]
            self.models = Models(names, self.setup.presets, self._described)
        self.opened.set()

    async def open_once(self) -> None:
        """Connect unless that is done already; as `open`."""
        async with self._once:
            if not self.opened.is_set():
                await self.open()

    def at_end(self, close: Callable[[], object]) -> None:
        """Add a callback for the server's end."""
        self._stack.callback(close)

    async def aclose(self) -> None:
        """Close everything."""
        await self._session.aclose()
        await self._stack.aclose()

    def drain(self) -> None:
        """Accept no new requests."""
        self.draining = True

    def cut_short(self) -> None:
        """End every search with its best answer so far, and all other work."""
        self.draining = True
        self.cut = True
        for stopper in list(self._stoppers):
            stopper.stop("interrupt")
        for block in list(self.blocks):
            block.cancel()

    def expect_ready(self) -> None:
        """Check that requests can be answered now.

        Raises:
            ApiError: the server has not reached its models yet, or is stopping.
        """
        if self.draining or not self.opened.is_set():
            raise stopping() if self.draining else not_ready("The server has not reached its models yet.")

    async def fleets(self, model: str) -> dict[Role, Fleet]:
        """The model of each role, for one of the policy's models.

        Raises:
            ModelError: it cannot be reached.
        """
        several = len(self.models.names) > 1 and model != PANEL
        return await self._session.models(model if several else None)

    async def addresses(self, model: str) -> dict[str, tuple[str, int | None]]:
        """Host and port of each role's server, for roles that have one.

        Raises:
            ModelError: one cannot be reached.
        """
        return addresses(await self.fleets(model))

    async def reward(self, name: str | None) -> Reward | None:
        """A reward by its name; the server's own without one.

        Raises:
            BadRequest: there is none of that name.
            RewardError: it cannot be reached.
            CheckError: it is broken.
        """
        if name is not None and name not in self.spec.rewards:
            known = ", ".join(self.spec.rewards) or "none: name some in the server's tpo.toml"
            raise refused("tpo.reward", f"is {name[:100]!r}, which is not a reward of this server. Known are {known}")
        return await self._session.reward(name)

    def options(self, request: GenerationRequest, preset: Preset | None) -> RequestOptions:
        """Make a search of a request; see `request_options`."""
        # Prompts are compiled once, when the service is made: it takes 10 ms.
        return request_options(request, preset, self.setup.options, self.setup.serving, self.spec.prompts)

    def _described(self, model: str, preset: Preset) -> dict[str, Any]:
        """What a model with a preset comes to: method, dials, and the most calls and stages of one answer."""
        key = (model, preset.label)
        if key not in self._descriptions:
            chosen: Any = with_dials(self.setup.options, preset, self.setup.serving, model, {})
            spec = specified(chosen, self.spec.prompts)
            cost = cost_of(spec.method, spec.width, spec.depth, spec.method_settings, spec.prompts)
            dials = {"method": spec.method.name, "width": spec.width, "depth": spec.depth}
            calls = {"answers": cost.answers, "other_replies": cost.replies, "stages": cost.stages}
            self._descriptions[key] = {**dials, **calls}
        return self._descriptions[key]

    async def answer(
        self,
        options: RequestOptions,
        model: str,
        id: str,
        waited: float,
        listen: Listener,
        spend: Callable[[int], None],
        durable: Durable | None = None,
    ) -> SearchResult:
        """Answer a request.

        Args:
            options: the search.
            model: the policy's model.
            id: the answer's id.
            waited: seconds since the request arrived.
            listen: called with each event.
            spend: called with the tokens of the search, however it ends.
            durable: where the search survives the server's end.

        Raises:
            TPOError: there is no answer.
            ApiError: the time ran out before there was one.
        """
        spec = options.spec
        fleets = await self.fleets(model)
        reward = await self.reward(options.reward) if spec.method.needs_reward else None
        judge = await self._session.judge()
        steer = options.output.steering(spec.method, reward)
        budget = self._budget(spec.budget, waited)
        names = {role: fleet.name for role, fleet in fleets.items()}
        plan = plan_of(spec, options.messages, names, steer.reward, judge)
        if durable is None:
            journal, stopper = Journal(), Stopper()
            self._stoppers.add(stopper)
        else:
            journal, stopper = trace_journal(durable.trace, plan, log.info, finished=True), durable.stopper
        earlier = list(journal.records)
        for record in earlier:
            steer.listen(record)
        if earlier:
            listen(earlier[0])  # what was called before was counted then
        self.live.begin(id, journal.records)
        try:
            if self.cut:
                raise stopping()
            result = await self._session.search(
                plan,
                spec,
                fleets,
                steer.reward,
                journal,
                budget=budget,
                stopper=stopper,
                on_event=both(steer.listen, listen),
                judge=judge,
            )
            return SearchResult(result, best_of(result, options.n))
        except TPOError as error:
            if error.partial is not None and error.partial.answer:
                return SearchResult(error.partial, best_of(error.partial, options.n), str(error))
            if self.cut:
                raise stopping() from error
            if stopper.reason == "deadline":
                message = "The time ran out before the first word of an answer."
                raise ApiError(504, message, UPSTREAM, code="deadline_exceeded") from error
            if type(error) is ModelError:
                where = fleets["policy"].servers[0].model.name
                if where not in str(error):
                    raise ApiError(502, f"{where}: {error}", UPSTREAM, code="upstream_failed") from error
            raise
        finally:
            self._stoppers.discard(stopper)
            self.live.end(id)
            journal.close()
            spend(sum(record.usage.total for record in journal.records[len(earlier) :] if isinstance(record, Called)))

    def _budget(self, budget: Budget, waited: float) -> Budget:
        most = self.setup.serving.deadline
        left = most - waited
        if left <= 0:
            raise ApiError(503, f"There was no place for this request within {most:g} s.")
        return Budget(budget.tokens, min(budget.seconds or left, left))


class WhileServing(CancelScope):
    """A block of work that has no best answer so far: the server's end ends it.

    Args:
        service: the server's.

    Raises:
        ApiError: the server is stopping.
    """

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service

    async def __aenter__(self) -> Self:
        """Begin the block."""
        if self._service.cut:
            raise stopping()
        self._service.blocks.add(self)
        return await super().__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Leave the block."""
        self._service.blocks.discard(self)
        if await super().__aexit__(kind, error, trace):
            raise stopping() from None
        return False


async def open_patiently(service: Service, every: float = 5.0) -> None:
    """Connect to servers that may not be up yet: containers start in any order.

    Args:
        service: the service to open.
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
