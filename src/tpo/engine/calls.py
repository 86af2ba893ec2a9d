"""Calls to models: N answers from one request or many, retries, seeds, and an account of every call."""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import msgspec

from tpo.engine.events import Listener, Retrying
from tpo.engine.limits import Clock, Ledger
from tpo.engine.panel_draw import draw_from_panel, telling
from tpo.engine.records import CALL_CUT_SHORT, Called, Record, SamplingSettings
from tpo.errors import ModelError, ModelUnavailable
from tpo.http.retry import patiently
from tpo.messages import Conversation
from tpo.methods.actions import Sample
from tpo.models.panel import PanelSeat
from tpo.models.protocol import Choice, Model, Receiver, Request
from tpo.prompts.prompt import Prompt, Role
from tpo.scheduling.concurrency import together

# Room for the tags around an updated answer, two of up to ten tokens each, and the line breaks beside them.
TAG_TOKENS = 32
# Tries of a call that another arm of a panel can make as well.
HURRIED_TRIES = 2


class Conduct(msgspec.Struct, frozen=True):
    """How calls are made; nothing of it shows in the result.

    Attributes:
        patience: seconds for which an endpoint that is down or overloaded is tried again.
        stream: have texts while they grow; without it a call costs less of our own time.
        alone: no other search uses the same servers meanwhile.
    """

    patience: float = 0.0
    stream: bool = True
    alone: bool = False


class Place(NamedTuple):
    """A prompt and where in the search it stands.

    Attributes:
        prompt: what is sent.
        turn: how many times the method had yielded before.
        action: which of the actions yielded together.
        sample: the action, for a prompt that answers are drawn to.
        arm: the arm of a panel that is called.
        before: how many answers the search draws before these; None where a panel's lead draws.
    """

    prompt: Prompt
    turn: int
    action: int
    sample: Sample | None = None
    arm: str | None = None
    before: int | None = 0


class Calls:
    """Makes the calls of one run.

    Args:
        models: the model of each role.
        query: what is answered.
        settings: how text is sampled.
        ledger: where spending is counted.
        clock: the run's time.
        write: takes records.
        listen: called with each retry.
        conduct: how patiently calls are made.
    """

    def __init__(
        self,
        models: dict[Role, Model],
        query: Conversation,
        settings: SamplingSettings,
        ledger: Ledger,
        clock: Clock,
        write: Callable[[Record], None],
        listen: Listener,
        conduct: Conduct,
    ) -> None:
        self._models = models
        self._query = query
        self._settings = settings
        self._ledger = ledger
        self._clock = clock
        self._write = write
        self._listen = listen
        self._conduct = conduct
        self._growing: dict[tuple[int, int, int], list[str]] = {}

    def unfinished(self, place: Place) -> dict[int, str]:
        """What has been written of answers that did not finish, by index."""
        at = (place.turn, place.action)
        return {index: "".join(text) for (*where, index), text in sorted(self._growing.items()) if tuple(where) == at}

    def may_differ(self, place: Place, choice: Choice) -> bool:
        """Whether the same call again may give another answer than this one."""
        model = self._model(place._replace(arm=choice.arm))
        seeded = self._settings.seed is not None and model.profile.seeds
        return (
            not seeded and self._settings.temperature > 0 and choice.finish_reason not in ("length", "content_filter")
        )

    async def ask(self, place: Place, on_text: Callable[[int, str], None]) -> Choice:
        """One reply to a prompt.

        Raises:
            ModelError: there is none.
        """
        replies: list[Choice] = []
        model = self._models[place.prompt.role]
        if not isinstance(model, PanelSeat):
            await self._collect(place, [0], replies.append, on_text)
            return replies[0]
        used = model.panel.in_use
        arms = sorted(model.panel.arms, key=lambda arm: arm not in used)  # those that rest come last
        errors: list[ModelError] = []
        for arm in arms:
            try:
                await self._collect(place._replace(arm=arm), [0], replies.append, on_text, hurry=arm != arms[-1])
            except ModelError as error:
                model.panel.leave_out(arm, error)
                errors.append(error)
            else:
                model.panel.worked(arm)
                return replies[0]
        raise telling(errors)

    def _model(self, place: Place) -> Model:
        """The model that a place calls: that of its role, or an arm of it."""
        model = self._models[place.prompt.role]
        return model.arms[place.arm] if place.arm is not None and isinstance(model, PanelSeat) else model

    async def draw(
        self,
        place: Place,
        wanted: Sequence[int],
        on_choice: Callable[[Choice], None],
        on_failure: Callable[[int, ModelError], None],
        on_text: Callable[[int, str], None],
    ) -> None:
        """Draw the answers with the wanted indices, by as many calls as the backend's profile requires.

        Args:
            place: what to answer, and where in the search.
            wanted: ascending indices of the answers.
            on_choice: called with each answer as it lands, `index` being one of those wanted.
            on_failure: called for each answer whose calls failed although the endpoint may work.
            on_text: called with an index and the text that this answer grew by.

        Raises:
            ModelError: the endpoint refuses, so that no other try can help.
        """
        model = self._models[place.prompt.role]
        if not isinstance(model, PanelSeat):
            await self._draw_from(place, wanted, on_choice, on_failure, on_text)
            return

        def from_arm(
            arm: str,
            indices: Sequence[int],
            on_choice: Callable[[Choice], None],
            on_failure: Callable[[int, ModelError], None],
            *,
            hurry: bool,
        ) -> Coroutine[None, None, None]:
            return self._draw_from(place._replace(arm=arm), indices, on_choice, on_failure, on_text, hurry=hurry)

        width = place.sample.width if place.sample is not None else len(wanted)
        turn = 0 if place.before is None else self._first_arm + place.before
        await draw_from_panel(model, from_arm, wanted, width, turn, on_choice, on_failure)

    @cached_property
    def _first_arm(self) -> int:
        # Another one for each query: shares may be uneven. Each action then goes on where the one before it ended.
        return zlib.crc32(msgspec.json.encode(self._query))

    async def _draw_from(
        self,
        place: Place,
        wanted: Sequence[int],
        on_choice: Callable[[Choice], None],
        on_failure: Callable[[int, ModelError], None],
        on_text: Callable[[int, str], None],
        *,
        hurry: bool = False,
    ) -> None:
        profile = self._model(place).profile

        async def group(missing: list[int]) -> None:
            try:
                await self._collect(place, missing, on_choice, on_text, hurry=hurry)
            except ModelUnavailable as error:
                if error.down:  # no answer's own misfortune
                    raise
                for index in missing:
                    on_failure(index, error)

        if profile.choices == "n":
            # One after another: calls that join a running batch would change what a seeded call returns.
            for indices in _groups(wanted, profile.max_choices):
                await group(indices)
        else:
            await together([group([index]) for index in wanted])

    async def _collect(
        self,
        place: Place,
        missing: list[int],
        on_choice: Callable[[Choice], None],
        on_text: Callable[[int, str], None],
        *,
        hurry: bool = False,
    ) -> None:
        # Empties `missing`. What has landed is kept when a connection breaks: a retry requests the rest alone.
        most = len(missing)
        retry = False

        def on_retry(error: ModelUnavailable, wait: float) -> None:
            nonlocal retry
            retry = True
            self._listen(Retrying(place.prompt.role, str(error), wait))

        async def attempt() -> None:
            nonlocal most
            while missing:
                # The seeds of one request count up, so only neighbours can share one.
                indices = _groups(missing, most)[0]
                landed = await self._once(place, indices, missing, retry, on_choice, on_text)
                if not landed:
                    raise ModelError(f"{self._model(place).name} answered without the choice asked for.")
                if landed < len(indices):  # `n` means nothing to this server
                    most = 1

        if hurry:
            await patiently(attempt, on_retry, tries=HURRIED_TRIES)
        else:
            await patiently(attempt, on_retry, patience=self._conduct.patience)

    async def _once(
        self,
        place: Place,
        indices: list[int],
        missing: list[int],
        retry: bool,
        on_choice: Callable[[Choice], None],
        on_text: Callable[[int, str], None],
    ) -> int:
        model = self._model(place)
        usage = self._ledger.open()
        queued_at = began = self._clock()
        error: str | None = None
        landed = 0
        for index in indices:  # a broken attempt's words are no part of the next one's
            self._growing[place.turn, place.action, index] = []

        def finished(choice: Choice) -> None:
            nonlocal landed
            if choice.index < len(indices) and indices[choice.index] in missing:
                landed += 1
                missing.remove(indices[choice.index])
                self._growing.pop((place.turn, place.action, indices[choice.index]), None)
                on_choice(msgspec.structs.replace(choice, index=indices[choice.index], arm=place.arm))

        def grew(index: int, text: str) -> None:
            if index < len(indices) and text:
                self._growing.setdefault((place.turn, place.action, indices[index]), []).append(text)
                on_text(indices[index], text)
            self._ledger.on_spend()

        def started() -> None:
            nonlocal began
            began = self._clock()

        try:
            await model.generate(self._request(place, model, indices), Receiver(usage, finished, grew, started))
        except asyncio.CancelledError:
            error = CALL_CUT_SHORT
            raise
        except Exception as failure:
            error = str(failure)
            raise
        finally:
            times = (round(began, 4), round(self._clock() - began, 4))
            waited = round(began - queued_at, 4)
            at = (place.turn, place.action, place.prompt.role)
            self._write(Called(*at, *times, usage, retry, error, waited, place.arm))
            self._ledger.close(usage)
        return landed

    def _request(self, place: Place, model: Model, indices: list[int]) -> Request:
        settings, sample = self._settings, place.sample
        seed = None
        if model.profile.seeds:
            if sample is not None and sample.seed is not None:
                seed = sample.seed + indices[0]
            elif settings.seed is not None:
                seed = _place_seed(settings.seed, place) + indices[0]
        critic = place.prompt.role == "critic"
        max_tokens = settings.critic_max_tokens if critic else settings.max_tokens
        if sample is not None and sample.max_tokens is not None:
            max_tokens = sample.max_tokens
        extra = {} if critic else settings.extra
        if place.prompt.role == "editor":
            # A text that ends an answer would end the reply before its first tag: the answer is cut there instead.
            extra = {name: value for name, value in extra.items() if name != "stop"}
            max_tokens += TAG_TOKENS
        elif sample is not None and sample.stop:
            extra = {**extra, "stop": stops(settings.extra, sample)}
        messages = place.prompt.messages
        if sample is not None and sample.prefix:
            messages = [*messages, {"role": "assistant", "content": sample.prefix}]
            if model.profile.prefill:
                extra = {**extra, "continue_final_message": True, "add_generation_prompt": False}
        return Request(
            messages,
            len(indices),
            settings.temperature if sample is None or sample.temperature is None else sample.temperature,
            settings.top_p,
            max_tokens,
            seed,
            # Searches that are nearly done go first: results come early, and few are open at a time.
            urgency=place.turn,
            stream=self._conduct.stream,
            # The call before was the critic's; an editor elsewhere has seen nothing of it.
            continues=place.prompt.continues and self._conduct.alone and model is self._models["critic"],
            extra=extra,
        )


def stops(extra: Mapping[str, Any], sample: Sample | None) -> list[str]:
    """The texts that end an answer: those of the request, and those of the action."""
    given = extra.get("stop") or []
    texts = [given] if isinstance(given, str) else [text for text in given if isinstance(text, str)]
    return [text for text in [*texts, *(sample.stop if sample is not None else ())] if text]


def _place_seed(seed: int, place: Place) -> int:
    # Every place in the search has its own stretch of seeds, so that results do not depend on the order of calls.
    digest = hashlib.blake2b(f"{seed}/{place.turn}/{place.action}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 2


def _groups(wanted: Sequence[int], size: int) -> list[list[int]]:
    groups: list[list[int]] = []
    for index in wanted:
        if groups and groups[-1][-1] + 1 == index and len(groups[-1]) < size:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups
