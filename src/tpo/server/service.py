"""The service behind the routes: models, rewards, and searches that share them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

import msgspec

from tpo.config import NamedReward
from tpo.engine.limits import Stopper
from tpo.errors import ModelUnavailable, RewardUnavailable
from tpo.methods.cost import cost_of
from tpo.methods.presets import PANEL, Preset
from tpo.models.fleet import Fleet, model_name
from tpo.models.panel import Panel
from tpo.models.resolve import served_models
from tpo.options import ServeOptions
from tpo.prompts import Role
from tpo.rewards.protocol import Reward
from tpo.server.asgi import CancelScope
from tpo.server.errors import not_ready, refused, stopping
from tpo.server.models import LISTED, Models
from tpo.server.protocols.request import GenerationRequest
from tpo.server.request_options import RequestOptions, request_options, with_dials
from tpo.session.session import Session
from tpo.session.spec import Options, Spec, specified
from tpo.telemetry.addresses import Address, addresses

log = logging.getLogger("tpo.server")


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What is served.

    Attributes:
        options: defaults of requests, as `tpo.align` takes them.
        rewards: rewards that a request may name.
        require: rules that rank before each of them.
        serving: how it is served: the bounds of a request, the presets that are listed, how many requests at once.
    """

    options: Options = {}
    rewards: dict[str, NamedReward] = {}
    require: Sequence[str] = ()
    serving: ServeOptions = ServeOptions()

    @property
    def presets(self) -> Sequence[str]:
        """Presets that are listed."""
        return self.serving.preset or LISTED


class Service:
    """Models, rewards, and searches under way.

    Args:
        setup: what is served.

    Attributes:
        spec: the search of a request that sets nothing.
        session: what is open.
        cut: searches are being ended with their best answer so far.
        stoppers: those of the searches under way, which the server's end stops.
        blocks: blocks of other work, which the server's end cancels.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        options: Options = {"rewards": setup.rewards, "require": setup.require, **setup.options}
        self.spec: Spec = specified(options)
        serving = setup.serving
        self.session = Session(self.spec, concurrency=serving.concurrency, patience=serving.patience, on_note=log.info)
        self.created = int(time.time())
        self.models = Models([], setup.presets)
        self.opened = asyncio.Event()
        self.draining = False
        self.cut = False
        self._closing: list[Callable[[], object]] = []
        self._once = asyncio.Lock()
        self.stoppers: set[Stopper] = set()
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
        await self.session.judge()
        if isinstance(policy.where, Mapping):
            panel = (await self.session.models())["policy"]
            assert isinstance(panel, Panel)
            self.models = Models(panel.names, self.setup.presets, self._described, panel=True)
        elif len(names) > 1:  # each is connected to when a request names it
            self.models = Models(names, self.setup.presets, self._described)
        else:
            fleets = await self.session.models()
            names = [model_name(fleets["policy"].servers[0].model)]
            self.models = Models(names, self.setup.presets, self._described)
        self.opened.set()

    async def open_once(self) -> None:
        """Connect unless that is done already; as `open`."""
        async with self._once:
            if not self.opened.is_set():
                await self.open()

    def at_end(self, close: Callable[[], object]) -> None:
        """Add a callback for the server's end; it is called in a thread and may take its time."""
        self._closing.append(close)

    async def aclose(self) -> None:
        """Close everything."""
        await self.session.aclose()
        for close in reversed(self._closing):
            await asyncio.to_thread(close)

    def drain(self) -> None:
        """Accept no new requests."""
        self.draining = True

    def cut_short(self) -> None:
        """End every search with its best answer so far, and all other work."""
        self.draining = True
        self.cut = True
        for stopper in list(self.stoppers):
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
        return await self.session.models(model if several else None)

    async def addresses(self, model: str) -> dict[str, Address]:
        """The server of each role that has one, and of each arm of a panel; see `tpo.telemetry.addresses`.

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
        return await self.session.reward(name)

    def options(self, request: GenerationRequest, preset: Preset | None) -> RequestOptions:
        """Make a search of a request; see `request_options`."""
        # Prompts are compiled once, when the service is made: it takes 10 ms.
        models = self._answering(request.model, preset)
        return request_options(request, preset, self.setup.options, self.setup.serving, self.spec.prompts, models)

    def _answering(self, model: str, preset: Preset | None) -> list[str]:
        """The names of the models that answer: all arms of a panel, or one."""
        return self.models.names if preset is not None and preset.panel else [model]

    def _described(self, model: str, preset: Preset) -> dict[str, Any]:
        """What a model with a preset comes to: method, dials, and the most calls and stages of one answer."""
        key = (model, preset.label)
        if key not in self._descriptions:
            chosen: Any = with_dials(self.setup.options, preset, self.setup.serving, self._answering(model, preset), {})
            spec = specified(chosen, self.spec.prompts)
            cost = cost_of(spec.method, spec.width, spec.depth, spec.method_settings, spec.prompts)
            dials = {"method": spec.method.name, "width": spec.width, "depth": spec.depth}
            calls = {"answers": cost.answers, "other_replies": cost.replies, "stages": cost.stages}
            self._descriptions[key] = {**dials, **calls}
        return self._descriptions[key]


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
    ) -> Literal[False]:
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
