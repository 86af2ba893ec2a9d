"""A session: models, reward, limits and pace, opened once and closed once, for any number of queries at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path
from typing import Any, Self, Unpack

import msgspec

from tpo.engine.calls import Conduct
from tpo.engine.driver import Driver, Permission
from tpo.engine.events import Event, Listener, both
from tpo.engine.journal import Journal
from tpo.engine.limits import Budget, Stopper
from tpo.engine.records import Plan, Started
from tpo.engine.result import Result, held_out_line
from tpo.errors import InputError
from tpo.http.redaction import shown_place
from tpo.messages import conversation, question
from tpo.methods.lifts import Lifts
from tpo.models.fleet import Fleet, PaceRule, ServerLimits, pace_for_many, seats
from tpo.models.panel import Panel
from tpo.notebook import progress
from tpo.prompts import Role
from tpo.representations import frame, heading, table
from tpo.rewards.protocol import Reward, maximum_of
from tpo.scheduling.limiter import Limiter
from tpo.session.backends import Note, note_lost_seeds, open_judge, open_models, open_reward
from tpo.session.effort import note_other_size
from tpo.session.output_format import OutputFormat
from tpo.session.spec import Options, Spec, no_reward, plan_of, specified
from tpo.session.traces import trace_journal
from tpo.telemetry.addresses import addresses
from tpo.telemetry.provider import Telemetry


def _ignore(_: Any) -> None:
    """Take no notice of an event or a note."""


class Session:
    """Everything that answers queries: `async with Session(policy=…, reward=…) as session: await session.align(query)`.

    What is named (a URL, `embedded`, `vllm:URL`) is opened by the session and closed with it. An object that is passed
    in (a `Model`, a reward) stays the caller's to close. A session belongs to one event loop.

    Args:
        spec: what to do, where it was checked already; made from the options otherwise.
        concurrency: sequences in flight at each server; None measures what the server takes.
        patience: seconds for which an endpoint that is down or overloaded is tried again.
        pace: how many sequences a server has in flight; takes precedence over `concurrency`.
        limiters: by machine, for sessions that share servers; new ones are added.
        on_note: called with each sentence that a user should read.
        telemetry: records each search; the caller's to close.
        options: as for `tpo.align`.

    Attributes:
        spec: what a query gets unless it brings its own.

    Raises:
        InputError: an option is out of range or unknown.
        PromptError: a template is broken.
    """

    def __init__(
        self,
        spec: Spec | None = None,
        *,
        concurrency: int | None = None,
        patience: float = 0.0,
        pace: PaceRule | None = None,
        limiters: dict[str, Limiter] | None = None,
        on_note: Note = _ignore,
        telemetry: Telemetry | None = None,
        **options: Unpack[Options],
    ) -> None:
        if concurrency is not None and concurrency < 1:
            raise InputError(f"The concurrency is {concurrency}; it must be at least 1.")
        self.spec = spec or specified(options)
        self._options = options if spec is None else None
        self._patience = patience
        self._limits = ServerLimits(pace or pace_for_many(concurrency), limiters)
        self._note = on_note
        self._telemetry = telemetry
        self._stack = AsyncExitStack()
        self._models: dict[str | None, dict[Role, Fleet]] = {}
        self._rewards: dict[str | None, Reward | None] = {}
        self._judge: Reward | None = None
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        try:
            await self.open()
        except BaseException:
            await self.aclose()
            raise
        return self

    def __repr__(self) -> str:
        spec = self.spec
        where = ", ".join(f"{role}={place!r}" for role, place in self._places())
        return f"Session({where}, method={spec.method.name!r}, width={spec.width}, depth={spec.depth})"

    def _repr_html_(self) -> str:
        """The session in a notebook: its models, reward and rules."""
        spec = self.spec
        facts = [
            spec.method.name,
            f"N {spec.width}",
            f"D {spec.depth}",
            "open" if self._models else "not connected yet",
        ]
        rows = [*self._places(), ("rules", ", ".join(map(str, spec.require)) or "none")]
        return frame(heading("Session", facts), table(("", ""), rows))

    def _places(self) -> list[tuple[str, str]]:
        """Who plays each role, and the reward; addresses without what may be a key."""
        named: dict[str, Any] = {role: one.where for role, one in self.spec.roles.items()}
        named |= {"reward": self.spec.reward, "judge": self.spec.judge}
        return [(role, shown_place(where)) for role, where in named.items() if where is not None]

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def open(self) -> None:
        """Connect to the reward and to the models now, so that a wrong name fails before the first query.

        Raises:
            InputError: what was named cannot be used.
            ModelError: a server cannot be reached, or refuses.
            RewardError: the reward cannot be loaded or reached.
            CheckError: the reward is broken.
        """
        if self.spec.method.needs_reward:
            await self.reward()
        await self.judge()
        models = await self.models()
        note_other_size(self.spec.size, models["policy"], self._note)
        if self.spec.settings.seed is not None:
            note_lost_seeds(models, self._note)

    async def aclose(self) -> None:
        """Close what the session opened."""
        self._models.clear()
        self._rewards.clear()
        self._judge = None
        stack, self._stack = self._stack, AsyncExitStack()
        await stack.aclose()

    async def models(self, policy_model: str | None = None) -> dict[Role, Fleet]:
        """The model of each role, opened at the first call.

        Args:
            policy_model: one of the models that the policy's server serves; None for the spec's own.

        Raises:
            InputError: there is no such model.
            ModelError: the server cannot be reached, or refuses.
        """
        if policy_model is not None and isinstance(self.spec.roles["policy"].where, Mapping):
            return await self._one_arm(policy_model)
        if policy_model not in self._models:
            async with self._opening:
                if policy_model not in self._models:
                    roles = dict(self.spec.roles)
                    if policy_model is not None:
                        roles["policy"] = msgspec.structs.replace(roles["policy"], model=policy_model)
                    opened = await open_models(roles, self._stack, self._note, self._limits)
                    self._models[policy_model] = opened
        return self._models[policy_model]

    async def _one_arm(self, policy_model: str) -> dict[Role, Fleet]:
        """The models where the policy is one arm of the panel, by the arm's name or its model's."""
        whole = await self.models()
        panel = whole["policy"]
        assert isinstance(panel, Panel)
        arm = panel.arm(policy_model)
        if arm is None:
            known = ", ".join(f"{name} ({fleet.name})" for name, fleet in panel.arms.items())
            raise InputError(f"There is no arm {policy_model!r} in the panel: here are {known}.")
        return {role: arm if fleet is panel else fleet for role, fleet in whole.items()}

    async def reward(self, name: str | None = None) -> Reward | None:
        """A reward, opened and checked at the first call; None where none was requested.

        Args:
            name: a reward by its name; None for the spec's own.

        Raises:
            InputError: the reward is unknown.
            RewardError: it cannot be loaded or reached.
            CheckError: it is broken.
        """
        async with self._opening:
            if name not in self._rewards:
                self._rewards[name] = await open_reward(self.spec, self._stack, name, self._limits)
        return self._rewards[name]

    async def judge(self) -> Reward | None:
        """The held-out judge, opened and checked at the first call; None where none was requested.

        Raises:
            TPOError: as `reward`.
        """
        async with self._opening:
            if self._judge is None:
                self._judge = await open_judge(self.spec, self._stack, self._limits)
        return self._judge

    async def align(
        self,
        query: str | Sequence[Mapping[str, Any]],
        *,
        trace: str | Path | None = None,
        stopper: Stopper | None = None,
        on_event: Listener | None = None,
        alone: bool = False,
        output: OutputFormat | None = None,
        **changes: Unpack[Options],
    ) -> Result:
        """Answer one query; any number may run at once.

        Args:
            query: a question, or chat messages with system message and history.
            trace: a JSON Lines file to write everything to; see `tpo.align`.
            stopper: ends the search from outside, with the best answer so far.
            on_event: called with each event. Unless given, a notebook shows a line of progress, and nothing else does.
            alone: no other search uses the same models meanwhile, so that the embedded model may reuse prompts.
            output: the form that an answer must have; it ranks before the reward, and the best is chosen then,
                whatever `select` is.
            changes: options of `tpo.align` for this query alone: method, width, depth, sampling, budgets,
                `policy_model`. Models and the reward are the session's.

        Returns:
            The answer, its reward, the steps, what each role cost, and the trace.

        Raises:
            TPOError: as `tpo.align`.
        """
        messages = conversation(query)
        policy_model = changes.pop("policy_model", None)
        output = output or OutputFormat()
        spec = output.imposed(self.with_changes(changes, one_arm=policy_model is not None))
        models = await self.models(policy_model)
        base = await self.reward() if spec.method.needs_reward else None
        judge = await self.judge()
        steering = output.steering(spec.method, base)
        # A trace names the servers too: the same model elsewhere may answer otherwise.
        names = {role: fleet.where for role, fleet in models.items()}
        plan = plan_of(spec, messages, names, steering.reward, judge)
        journal = trace_journal(Path(trace) if trace is not None else None, plan, self._note)
        for record in journal.records:
            steering.listen(record)
        try:
            result = await self.search(
                plan,
                spec,
                models,
                steering.reward,
                journal,
                stopper=stopper,
                on_event=both(steering.listen, on_event or progress(question(messages)) or _ignore),
                alone=alone,
                judge=judge,
            )
        finally:
            journal.close()
        if (line := held_out_line(result)) is not None:
            self._note(line)
        return result

    async def stream(self, query: str | Sequence[Mapping[str, Any]], **options: Any) -> AsyncGenerator[Event | Result]:
        """Answer one query and yield what happens: each event, and the `Result` at the end.

        A consumer that leaves early cancels the search. `async with contextlib.aclosing(session.stream(query))` does
        so at once.

        Args:
            query: as in `align`.
            options: as in `align`, but for `on_event`.

        Raises:
            TPOError: as `align`.
        """
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        task = asyncio.ensure_future(self.align(query, on_event=events.put_nowait, **options))
        task.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
            yield task.result()
        finally:
            task.cancel()
            with suppress(BaseException):
                await task

    async def search(
        self,
        plan: Plan,
        spec: Spec,
        models: Mapping[Role, Fleet],
        reward: Reward | None,
        journal: Journal,
        *,
        budget: Budget | None = None,
        stopper: Stopper | None = None,
        on_event: Listener = _ignore,
        on_call: Callable[[], None] | None = None,
        stream: bool = True,
        alone: bool = False,
        judge: Reward | None = None,
        may_go_on: Permission | None = None,
        lifts: Lifts | None = None,
    ) -> Result:
        """Run one search on models and a reward that are open. Everything that aligns ends here.

        Args:
            plan: everything that decides the result, as the journal records it.
            spec: what the plan was made from.
            models: the model of each role.
            reward: what scores; None where the method needs none.
            journal: what an earlier process did, and where the rest is written.
            budget: what the search may cost; the spec's unless given.
            stopper: ends the search from outside, with the best answer so far.
            on_event: called with each event.
            on_call: called whenever a call stands in a server's queue.
            stream: read replies while they grow; without it a call costs less of our own time.
            alone: no other search uses the same models meanwhile.
            judge: scores the first sample and the answer in the end, and decides nothing.
            may_go_on: decides after each wave of answers whether the search may draw more; see `Driver`.
            lifts: what earlier queries showed of the method's prompts; the journal's where the search has begun.

        Raises:
            InputError: the method needs a reward, and there is none.
            TPOError: there is no answer.
        """
        if spec.method.needs_reward and reward is None:
            raise no_reward(spec.method)
        places = seats(models)
        if on_call is not None:
            for place in places.values():
                place.on_call = on_call
        conduct = Conduct(self._patience, stream, alone)
        try:
            with ExitStack() as stack:
                if self._telemetry is not None:
                    name = plan.reward or "none"
                    spans = stack.enter_context(self._telemetry.watching(name, addresses(models), journal.records))
                    on_event = both(spans, on_event)
                budget = budget or spec.budget
                started = next((one for one in journal.records if isinstance(one, Started)), None)
                lifts = (lifts if started is None else started.lifts) or None  # the journal has none and {} alike
                driver = Driver(
                    plan, {**places}, reward, journal, budget, stopper, on_event, conduct, judge, may_go_on, lifts
                )
                return await driver.run(spec.search(plan.query, maximum_of(reward), lifts))
        finally:
            for place in set(places.values()):
                await place.aclose()

    def with_changes(self, changes: Options, *, one_arm: bool = False) -> Spec:
        """The session's spec with other options for one query, or for a single arm of its panel.

        Raises:
            InputError: an option is out of range, or belongs to the whole session.
        """
        if not changes and (not one_arm or self._options is None):
            return self.spec
        if self._options is None:
            raise InputError("This session was made from a checked spec: run other specs by `search`.")
        if fixed := sorted(changes.keys() & _OF_THE_SESSION):
            raise InputError(
                f"{', '.join(fixed)} cannot change from query to query: open another session, or give it to Session(…)."
            )
        prompts = None if "prompts" in changes else self.spec.prompts
        return specified({**self._options, **changes}, prompts, one_arm=one_arm)


# What is opened with the session.
_OF_THE_SESSION = frozenset(
    [
        "policy",
        "critic",
        "critic_model",
        "editor",
        "editor_model",
        "reward",
        "prefer",
        "rewards",
        "require",
        "score_cache",
        "check",
        "judge",
    ]
)
