"""Responses that are made in the background: no client has to wait, and the end of the server does not end them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from tpo.engine.events import Event
from tpo.engine.journal import read_journal
from tpo.engine.limits import Stopper
from tpo.engine.log import Log
from tpo.engine.records import Called
from tpo.errors import JournalError, TPOError
from tpo.server.admission import Busy
from tpo.server.answers import Answers
from tpo.server.asgi import RequestInfo
from tpo.server.deltas import Delta, Narration, deltas_of
from tpo.server.errors import ApiError, BadRequest, explained
from tpo.server.keys import Keys
from tpo.server.limits import Account
from tpo.server.models import NamedModel
from tpo.server.protocols import sse
from tpo.server.protocols.request import GenerationRequest
from tpo.server.protocols.responses.reader import read_responses
from tpo.server.protocols.responses.renderer import Begun, Completed, Entry, Failed, ResponsesRenderer
from tpo.server.registry import Durable
from tpo.server.store.folder import ResponseStore, StoredRequest
from tpo.session.response import TokenUsage

log = logging.getLogger("tpo.server")

# Seconds for which narration is collected before it becomes an event.
BEAT = 0.1
# Seconds for a cancelled response to end before its client gets it as it is: after a restart it waits for the models.
PATIENCE = 10.0
_STANDS_STILL = "The server cannot go on with this response, and its log has the reason. Its next start tries again."


class Job:
    """A response, and the work on it.

    Args:
        request: what was sent.
        renderer: writes it.
        events: the events so far.
        file: where its entries go; None for one that is complete.
        line: an entry as it stands there.

    Attributes:
        searching: a search has begun, here or in an earlier process, which can be stopped with its best answer so far.
        cancelled: its client ended it.
        stopped: no more is to come from this process.
        stopper: stops the search.
        changed: set with the next event, and then replaced by another one.
    """

    def __init__(
        self,
        request: StoredRequest,
        renderer: ResponsesRenderer,
        events: list[bytes],
        file: Log | None = None,
        line: Callable[[Entry], bytes] = msgspec.json.encode,
    ) -> None:
        self.request = request
        self.renderer = renderer
        self.events = events
        self.file = file
        self.searching = False
        self.cancelled = False
        self.stopped = False
        self.stopper = Stopper()
        self._line = line
        self._narration: list[str] = []
        self.changed = asyncio.Event()

    @property
    def begun(self) -> bool:
        """Whether its turn has come."""
        return bool(self.renderer.entries)

    def apply(self, entry: Entry) -> None:
        """Add to the response, unless nothing more is to come."""
        if not self.renderer.over and not self.stopped:
            if self.file is not None:
                self.file.append(self._line(entry))
            self.add(entry)

    def add(self, entry: Entry) -> None:
        """Add to the response in memory alone."""
        self.events += [sse.named([event]) for event in self.renderer.apply(entry)]
        self.notify()

    def notify(self) -> None:
        """Wake those that wait for the next event."""
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    def begin(self) -> None:
        """The work begins."""
        if not self.begun:
            self.apply(Begun())

    def sink(self, delta: Delta) -> None:
        """Take a delta; of a growing answer none is kept, since it is written again if the server ends meanwhile."""
        self.begin()
        if isinstance(delta, Narration):
            if not self._narration:
                asyncio.get_running_loop().call_later(BEAT, self.flush)
            self._narration.append(delta.text)

    def listen(self, event: Event) -> None:
        """Take an event of the search."""
        self.searching = True
        self.begin()

    def flush(self) -> None:
        """Write the narration that was collected."""
        text = "".join(self._narration)
        self._narration.clear()
        if text:
            try:
                self.apply(Narration(text))
            except TPOError as error:
                log.error("%s", error)  # the search has the same disk, and ends with this error


class BackgroundResponses:
    """Makes responses in the background, and continues with those of an earlier process.

    Args:
        answers: answers their conversations.
        store: where they are stored.
        keys: the clients' keys, whose limits count here too.
    """

    def __init__(self, answers: Answers, store: ResponseStore, keys: Keys | None = None) -> None:
        self.store = store
        self._answers = answers
        self._keys = keys
        self._jobs: dict[str, Job] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._storing: list[StoredRequest] = []
        self._resuming: asyncio.Task[None] | None = None
        self._surveying: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Go on with the responses of an earlier process."""
        self._resuming = asyncio.create_task(self._resume())
        self._surveying = asyncio.create_task(self.store.run(self.store.survey))

    async def aclose(self) -> None:
        """Leave what is unfinished to the next process."""
        await asyncio.sleep(0)  # a task that has not begun would close nothing
        tasks = [*self._tasks.values(), *filter(None, [self._resuming, self._surveying])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.store.close()

    async def request(self, id: str, client: str | None) -> StoredRequest:
        """The request of a stored response; see `ResponseStore.find`."""
        await self._resumed()
        job = self._jobs.get(id)
        if job is not None and job.request.client == client:  # clients that poll cost no reading
            return job.request
        return await self.store.run(self.store.find, id, client)

    async def read(self, request: StoredRequest) -> Job:
        """A response, whether it is still being made or not.

        Raises:
            ApiError: its file is damaged.
        """
        job = self._jobs.get(request.id)
        return job if job is not None else await self.store.run(self._read, request)

    def find(self, id: str) -> Job | None:
        """A response that is being made."""
        return self._jobs.get(id)

    async def begin(self, request: StoredRequest) -> Job:
        """Store a request, and begin to work on its response.

        Raises:
            Busy: too many wait already.
            ApiError: it cannot be stored.
            JournalError: the same.
        """
        await self._resumed()
        promised = [*self._storing, *(job.request for job in self._jobs.values() if not job.begun)]
        waiting = [(other.client, self._weight(other.client)) for other in promised]
        self._answers.aligned.expect_room(request.client, self._weight(request.client), waiting)
        self._storing.append(request)
        try:
            await self.store.run(self.store.add, request, open=True)
            try:
                return await self.resume(request)
            except JournalError:
                await self.store.run(self.store.delete, request.id)
                raise
        finally:
            self._storing.remove(request)

    async def resume(self, request: StoredRequest) -> Job:
        """Go on with a stored response that is not complete.

        Raises:
            JournalError: its file is damaged, or cannot be written.
        """
        job = await self.store.run(self._opened, request)
        self._jobs[request.id] = job
        task = self._tasks[request.id] = asyncio.create_task(self._run(job))
        task.add_done_callback(lambda _: self._end(job))
        return job

    async def cancel(self, job: Job) -> None:
        """End a response with the best answer so far."""
        task, again = self._tasks[job.request.id], job.cancelled
        job.cancelled = True
        await self.store.run(self.store.cancel, job.request.id)
        job.stopper.stop("interrupt")
        if not (again or job.searching or job.renderer.over):
            task.cancel()
        await asyncio.wait({task}, timeout=PATIENCE)

    async def delete(self, id: str) -> None:
        """Forget a response, and end the work on it."""
        if (task := self._tasks.get(id)) is not None:
            await asyncio.sleep(0)  # a task that has not begun would close nothing
            task.cancel()
            await asyncio.wait({task})
        await self.store.run(self.store.delete, id)

    def _read(self, request: StoredRequest) -> Job:
        try:
            entries = self.store.entries(request.id)
        except JournalError as error:
            self.store.find(request.id, request.client)  # deleted meanwhile
            log.error("%s", error)
            raise explained(error) from error
        job = Job(request, *self.store.rendered(request, entries))
        if not job.renderer.over:  # in memory alone: the next process continues with it
            job.add(Failed(500, _STANDS_STILL))
        return job

    async def _resumed(self) -> None:
        """Wait until each response of an earlier process has a job; a new one would be taken for one of them."""
        if self._resuming is not None and not self._resuming.done():
            await asyncio.wait({self._resuming})

    async def _resume(self) -> None:
        for request in await self.store.run(self.store.unfinished):
            try:
                await self.resume(request)
            except (TPOError, BadRequest) as error:
                log.error("The stored response %s cannot go on. %s", request.id, error)
            except Exception:
                log.exception("A bug: the stored response %s cannot go on.", request.id)

    def _opened(self, request: StoredRequest) -> Job:
        entries, file = self.store.reopened(request.id)
        job = Job(request, *self.store.rendered(request, entries), file, self.store.line)
        job.searching = self.store.searched(request.id)
        job.cancelled = self.store.cancelled(request.id)
        if job.cancelled:
            job.stopper.stop("interrupt")
        return job

    def _end(self, job: Job) -> None:
        del self._jobs[job.request.id], self._tasks[job.request.id]

    async def _run(self, job: Job) -> None:
        try:
            if not job.renderer.over:
                await self._make(job)
            assert job.file is not None
            await job.file.commit()
            await self.store.run(self.store.complete, job.request.id)
        except JournalError as error:
            log.error("%s", error)
            if not job.renderer.over:
                job.add(Failed(500, str(explained(error))))  # in memory alone: the next process continues with it
        finally:
            job.stopped = True
            job.notify()
            try:
                if job.file is not None:
                    job.file.close()
            except JournalError as error:
                log.error("%s", error)

    async def _make(self, job: Job) -> None:
        service = self._answers.service
        if job.cancelled and not job.searching:  # an earlier process ended before it could end this
            job.apply(self._nothing(job))
            return
        end: Entry
        try:
            await service.opened.wait()
            with self._counted(job):  # and no longer when the client sees the end
                end = await self._answered(job)
        except asyncio.CancelledError:
            if not job.cancelled or job.searching:  # the server ends, or the response was deleted
                raise
            end = self._nothing(job)
        except JournalError:
            raise
        except (TPOError, BadRequest, ApiError) as error:
            if service.cut:
                raise asyncio.CancelledError from error
            refusal = explained(error)
            end = Failed(refusal.status, str(refusal), refusal.param)
            if job.cancelled:  # there was no answer yet
                end = self._nothing(job)
        except Exception as error:
            log.exception("A bug: the response %s failed.", job.request.id)
            end = Failed(500, str(explained(error)))
        job.flush()
        job.apply(end)

    @contextmanager
    def _counted(self, job: Job) -> Iterator[None]:
        """Count the work among its key's requests under way."""
        account = self._account(job)
        if account is not None:
            account.live += 1
        try:
            yield
        finally:
            if account is not None:
                account.end()

    def _weight(self, client: str | None) -> float:
        return self._keys.weight_of(client) if self._keys is not None and client is not None else 1.0

    def _account(self, job: Job) -> Account | None:
        return self._keys.account_of(job.request.client) if self._keys is not None else None

    def _nothing(self, job: Job) -> Completed:
        """The end of a response that was cancelled before there was an answer."""
        trace = self.store.trace(job.request.id)
        records = read_journal(trace)[0] if self.store.searched(job.request.id) else []
        used = [record.usage for record in records if isinstance(record, Called)]
        prompt, cached, completion = (
            sum(getattr(usage, kind) for usage in used)
            for kind in ("prompt_tokens", "cached_tokens", "completion_tokens")
        )
        return Completed(TokenUsage(prompt, cached, completion), None, int(time.time()), cancelled=True)

    async def _answered(self, job: Job) -> Entry:
        request = job.request
        (query,) = read_responses(request.body, _headers(request)).queries
        named = self._answers.service.models.find(query.model)
        completion = await self._patiently(job, query, named)
        job.begin()
        job.flush()
        for delta in deltas_of(completion):
            job.apply(delta)
        return Completed(completion.usage, completion.search, int(time.time()), cancelled=job.cancelled)

    async def _patiently(self, job: Job, query: GenerationRequest, named: NamedModel) -> Any:
        durable = Durable(self.store.trace(job.request.id), job.stopper)
        while True:
            try:
                return await self._answers.answer(
                    query, named, job.request.id, self._info(job), job.sink, job.listen, durable
                )
            except Busy as error:  # it was accepted, so that it waits until there is room
                await asyncio.sleep(error.retry_after)

    def _info(self, job: Job) -> RequestInfo:
        client, account = job.request.client, self._account(job)
        return RequestInfo(
            job.request.id,
            client=client,
            weight=self._weight(client),
            model=job.renderer.request.model,
            spent=account.spend if account is not None else None,
            background=True,
        )


def _headers(request: StoredRequest) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers]
