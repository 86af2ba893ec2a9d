"""One Sample action: answers are drawn, written down, and scored the moment they land."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Any

from tpo.candidate import Candidate
from tpo.engine.calls import Calls, Place, stops
from tpo.engine.records import Record, Sampled, Scored
from tpo.engine.scoring import Scorer
from tpo.engine.state import SearchState, candidate_of
from tpo.errors import ModelError
from tpo.http.failures import ContextOverflow
from tpo.messages import shown_calls
from tpo.models.protocol import Choice
from tpo.prompts.leaks import clean
from tpo.scheduling.concurrency import task_group

# The finish reason of an answer that the search did not wait for.
LEFT_BEHIND = "left-behind"


class Sampling:
    """Draws the answers of one action.

    Args:
        place: the prompt and its place in the search.
        step: the step that the answers belong to.
        state: the search so far, with what an earlier process did.
        calls: makes the calls.
        scorer: scores.
        write: takes records.
        extra: the further fields of the run's requests for answers.

    Attributes:
        failure: the first error, where every call failed.
    """

    def __init__(
        self,
        place: Place,
        step: int,
        state: SearchState,
        calls: Calls,
        scorer: Scorer,
        write: Callable[[Record], None],
        extra: Mapping[str, Any],
    ) -> None:
        self._place = place
        self._step = step
        self._state = state
        self._calls = calls
        self._scorer = scorer
        self._write = write
        self._extra = extra
        self._landed: set[int] = set()
        self._candidates: dict[int, Candidate] = {}
        self._group: asyncio.TaskGroup
        self.failure: ModelError | None = None
        self._failures: list[ModelError] = []
        # Indices of answers that were empty at the first try.
        self._empty: set[int] = set()
        self._good = 0
        self._one_more = asyncio.Event()

    async def draw(
        self, width: int, on_text: Callable[[int, str], None], quorum: int | None = None, *, alone: bool = True
    ) -> list[Candidate]:
        """Draw and score so many answers, less those that an earlier process drew.

        Args:
            width: how many.
            on_text: called with an index and the text that this answer grew by.
            quorum: how many answers suffice; those that are still being written then are cancelled.
            alone: no other prompt is answered beside this one; else one that is too long costs its own answers only.

        Returns:
            the candidates in the order of their indices, one for each.

        Raises:
            ModelError: the endpoint refuses, so that no other try can help.
            RewardError: the reward is broken.
        """
        async with task_group() as self._group:
            for index in range(width):
                before = self._state.answer((self._place.turn, self._place.action, index))
                if before is not None:
                    self._recall(*before)
            wanted = [index for index in range(width) if index not in self._landed]
            # The group waits for the scores, and a broken reward ends the drawing at once.
            drawing = self._draw(wanted, on_text) if alone else self._draw_or_miss(wanted, on_text)
            if quorum is None:
                await drawing
            else:
                await self._until(quorum, drawing)
                for index in wanted:
                    if index not in self._landed:
                        self._miss(index, LEFT_BEHIND, f"{quorum} of {width} answers were there, which was enough")
        if len(self._failures) == width:
            self.failure = self._failures[0]
        return [self._candidates[index] for index in sorted(self._candidates)]

    async def _draw(self, wanted: list[int], on_text: Callable[[int, str], None]) -> None:
        await self._calls.draw(self._place, wanted, self._finished, self._failed, on_text)
        if self._empty:  # without a seed a second try may well hold something
            again = sorted(self._empty)
            await self._calls.draw(self._place, again, self._finished, self._failed, on_text)

    async def _draw_or_miss(self, wanted: list[int], on_text: Callable[[int, str], None]) -> None:
        try:
            await self._draw(wanted, on_text)
        except ContextOverflow as overflow:
            for index in wanted:
                if index not in self._landed:
                    self._failed(index, overflow)

    async def _until(self, quorum: int, drawing: Coroutine[Any, Any, None]) -> None:
        """Draw until so many answers have landed, or all."""
        task = asyncio.ensure_future(drawing)
        try:
            while self._good < quorum and not task.done():
                self._one_more.clear()
                alarm = asyncio.ensure_future(self._one_more.wait())
                await asyncio.wait({task, alarm}, return_when=asyncio.FIRST_COMPLETED)
                alarm.cancel()
            if task.done():
                task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _recall(self, sampled: Sampled, scored: Scored | None) -> None:
        self._good += sampled.error is None
        if scored is None:
            self._land(sampled)
        else:
            self._landed.add(sampled.index)
            self._take(sampled, scored)

    def _finished(self, choice: Choice) -> None:
        sampled = landed(self._place, self._step, choice, self._extra)
        if not sampled.text and choice.index not in self._empty and self._calls.may_differ(self._place, choice):
            self._empty.add(choice.index)
            return
        self._write(sampled)
        self._land(sampled)
        self._good += 1
        self._one_more.set()

    def _failed(self, index: int, error: ModelError) -> None:
        self._failures.append(error)
        self._miss(index, "error", str(error))

    def _miss(self, index: int, finish_reason: str, why: str) -> None:
        """Record that there is no answer."""
        sampled = landed(self._place, self._step, Choice(index, "", finish_reason=finish_reason), error=why)
        self._write(sampled)
        self._land(sampled)

    def _land(self, sampled: Sampled) -> None:
        self._landed.add(sampled.index)
        self._group.create_task(self._score(sampled))

    async def _score(self, sampled: Sampled) -> None:
        self._take(sampled, await self._scorer.score(sampled))

    def _take(self, sampled: Sampled, scored: Scored | None) -> None:
        self._candidates[sampled.index] = candidate_of(sampled, scored)


def landed(
    place: Place, step: int, choice: Choice, extra: Mapping[str, Any] = MappingProxyType({}), error: str | None = None
) -> Sampled:
    """The record of an answer as its prompt reads it.

    Args:
        place: the prompt and its place in the search.
        step: the step that the answer belongs to.
        choice: what the model wrote.
        extra: the further fields of the run's requests for answers.
        error: why there is no answer.
    """
    text = choice.text
    if place.sample is not None and text and not text.startswith(place.sample.prefix):
        text = place.sample.prefix + text
    text = place.prompt.read(text)
    if place.prompt.role == "editor":
        text = _cut(text, stops(extra, place.sample))
    text, leaked = clean(text, place.prompt.scaffold, whole=place.prompt.role == "editor")
    if not text.strip() or choice.failure:
        text = ""
    calls = (choice.message or {}).get("tool_calls")
    if calls:  # critic and reward see what they judge
        text = "\n".join(filter(None, (text, shown_calls(calls))))
    within = f"{choice.index}" if place.action == 0 else f"{place.action}.{choice.index}"
    return Sampled(
        turn=place.turn,
        action=place.action,
        index=choice.index,
        step=step,
        id=f"{step}.{within}",
        text=text,
        finish_reason=choice.finish_reason,
        tokens=choice.tokens,
        reply=choice.text if choice.text != text else None,
        reasoning=choice.reasoning or None,
        error=error,
        message=choice.message,
        logprobs=choice.logprobs,
        leaked=leaked,
        arm=choice.arm,
    )


def _cut(text: str, stops: list[str]) -> str:
    """The text before the first of the texts that end an answer."""
    return text[: min((at for stop in stops if (at := text.find(stop)) >= 0), default=len(text))]
