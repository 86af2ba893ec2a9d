"""Searches: each waits for its turn, runs, and ends with its best answer; listeners see its events.

Requests of the API and of the page both go through here, so that both are counted and limited.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from pathlib import Path

import msgspec

from tpo.engine.events import Listener, both
from tpo.engine.journal import Journal
from tpo.engine.limits import Budget, Stopper
from tpo.engine.records import Called, Prompted, Record, Replied, Sampled
from tpo.errors import ModelError, TPOError
from tpo.messages import text_of
from tpo.scheduling.limiter import Owner, call_owner
from tpo.server.admission import Admission
from tpo.server.asgi import RequestInfo
from tpo.server.errors import UPSTREAM, ApiError, stopping
from tpo.server.request_options import RequestOptions
from tpo.server.service import Service
from tpo.session.response import SearchResult, best_of
from tpo.session.spec import plan_of
from tpo.session.traces import trace_journal

log = logging.getLogger("tpo.server")

# Makes a listener for one request, and closes it when the request is over.
Watch = Callable[[RequestInfo, RequestOptions], AbstractContextManager[Listener]]
# Searches that are over and still shown on the page, and characters of their records.
KEPT = 50
KEPT_CHARACTERS = 50_000_000


def unwatched(info: RequestInfo, options: RequestOptions) -> AbstractContextManager[Listener]:
    """No listener."""
    return nullcontext(lambda event: None)


class Durable(msgspec.Struct, frozen=True):
    """A search that continues after the server's end, in the next process.

    Attributes:
        trace: the file of its journal.
        stopper: ends it with its best answer so far; the server's end does not.
    """

    trace: Path
    stopper: Stopper


class LiveSearches:
    """The journals of searches under way and of the latest ones, by the ids of their answers, for the page.

    Args:
        kept: how many are kept after their end.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._open: dict[str, list[Record]] = {}
        self._over: dict[str, list[Record]] = {}
        self._characters: dict[str, int] = {}

    def begin(self, id: str, records: list[Record]) -> None:
        """A search begins, and its journal grows from now on."""
        self._open[id] = records

    def end(self, id: str) -> None:
        """A search is over."""
        records = self._open.pop(id, None)
        if records is not None and self._kept:
            self._over[id] = records
            self._characters[id] = sum(map(_characters, records))
            # A long conversation stands in each prompt of its search anew.
            while len(self._over) > self._kept or sum(self._characters.values()) > KEPT_CHARACTERS:
                oldest = next(iter(self._over))
                del self._over[oldest], self._characters[oldest]

    def __call__(self) -> Mapping[str, Sequence[Record]]:
        """All of them, the oldest first."""
        return {**self._over, **self._open}


def _characters(record: Record) -> int:
    if isinstance(record, Prompted):
        return sum(len(text_of(message)) for message in record.messages)
    return len(record.text) if isinstance(record, Replied | Sampled) else 0


class SearchRegistry:
    """Runs searches for requests.

    Args:
        service: models and rewards.
        admission: how many searches run at once.
        watch: makes further listeners (metrics, telemetry, a recorder).
        kept: how many searches are kept for the page after their end.

    Attributes:
        live: the journals of searches, for the page.
    """

    def __init__(self, service: Service, admission: Admission, watch: Watch = unwatched, *, kept: int = KEPT) -> None:
        self.service = service
        self.admission = admission
        self.live = LiveSearches(kept)
        self._watch = watch

    async def search(
        self,
        options: RequestOptions,
        model: str,
        id: str,
        info: RequestInfo,
        listen: Listener,
        durable: Durable | None = None,
    ) -> SearchResult:
        """Run a search when its turn has come.

        Args:
            options: the search.
            model: the policy's model.
            id: the answer's id.
            info: the request, whose account the tokens are charged to, however the search ends.
            listen: called with each event.
            durable: where the search survives the server's end.

        Raises:
            Busy: too many requests wait already.
            TPOError: there is no answer.
            ApiError: the time ran out before there was one, or the server ends.
        """
        call_owner.set(Owner(info.client, info.weight))
        most = self.service.setup.serving.deadline
        late = ApiError(503, f"There was no place for this request within {most:g} s.")
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(None if info.background else most - (time.monotonic() - info.began)):
                    await stack.enter_async_context(self.admission.admitted(info.client, info.weight))
            except TimeoutError:
                raise late from None
            began = time.monotonic() if info.background else info.began
            info.servers = await self.service.addresses(model)
            with self._watch(info, options) as watch:
                left = most - (time.monotonic() - began)
                if left <= 0:
                    raise late
                wanted = options.spec.budget
                budget = Budget(wanted.tokens, min(wanted.seconds or left, left))
                return await self._run(options, model, id, budget, both(watch, listen), info.spend, durable)

    async def _run(
        self,
        options: RequestOptions,
        model: str,
        id: str,
        budget: Budget,
        listen: Listener,
        spend: Callable[[int], None],
        durable: Durable | None,
    ) -> SearchResult:
        service, spec = self.service, options.spec
        fleets = await service.fleets(model)
        reward = await service.reward(options.reward) if spec.method.needs_reward else None
        judge = await service.session.judge()
        steer = options.output.steering(spec.method, reward)
        names = {role: fleet.name for role, fleet in fleets.items()}
        plan = plan_of(spec, options.messages, names, steer.reward, judge)
        if durable is None:
            journal, stopper = Journal(), Stopper()
            service.stoppers.add(stopper)
        else:
            journal, stopper = trace_journal(durable.trace, plan, log.info, finished=True), durable.stopper
        earlier = list(journal.records)
        for record in earlier:
            steer.listen(record)
        if earlier:
            listen(earlier[0])  # what was called before was counted then
        self.live.begin(id, journal.records)
        try:
            if service.cut:
                raise stopping()
            result = await service.session.search(
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
            if service.cut:
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
            service.stoppers.discard(stopper)
            self.live.end(id)
            journal.close()
            spend(sum(record.usage.total for record in journal.records[len(earlier) :] if isinstance(record, Called)))
