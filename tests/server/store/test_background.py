"""Responses in the background at odd moments: bursts, restarts, failures of the disk, and clients that cancel twice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from tpo.candidate import Candidate
from tpo.errors import JournalError
from tpo.server.admission import Admission, Busy
from tpo.server.answers import Answers
from tpo.server.errors import ApiError, BadRequest
from tpo.server.store.background import BackgroundResponses, Job
from tpo.server.store.folder import ResponseStore, StoredRequest
from tpo.server.store.history import History
from tpo.session.response import Completion, TokenUsage


class Service:
    """A service whose models are reached when a test wants it."""

    def __init__(self, *, opened: bool) -> None:
        self.opened = asyncio.Event()
        self.cut = False
        self.models = self
        if opened:
            self.opened.set()

    def find(self, name: str) -> str:
        """Any model exists."""
        return name


class Answering:
    """Answers conversations when a test wants it; counts them."""

    def __init__(self, *, opened: bool = True, concurrency: int = 1, queue: int = 8, at_once: bool = False) -> None:
        self.service = Service(opened=opened)
        self.aligned = Admission(concurrency, queue)
        self.go = asyncio.Event()
        if at_once:
            self.go.set()
        self.answers = 0

    async def answer(self, *_: Any) -> Completion:
        """Answer one conversation."""
        self.answers += 1
        await self.go.wait()
        return Completion([Candidate(id="0.0", step=0, text="a")], TokenUsage())


@asynccontextmanager
async def background(folder: Path, answering: Answering) -> AsyncIterator[BackgroundResponses]:
    made = BackgroundResponses(cast(Answers, answering), ResponseStore(folder, 1))
    made.open()
    try:
        yield made
    finally:
        await made.aclose()


def request(number: int = 1, client: str | None = None) -> StoredRequest:
    body = {"model": "m", "input": [{"role": "user", "content": "Hi"}], "background": True, "store": True}
    return StoredRequest(key=f"{number:032x}", client=client, at=number, body=body)


def status(job: Job) -> str:
    return str(job.renderer.response["status"])


async def read(made: BackgroundResponses, sent: StoredRequest) -> Job:
    return await made.read(await made.request(sent.id, sent.client))


async def ended(made: BackgroundResponses, sent: StoredRequest) -> Job:
    """The response when it is complete."""
    job = await read(made, sent)
    while not job.renderer.over:
        await job.changed.wait()
    return job


async def test_a_burst_is_no_way_around_the_queue(tmp_path: Path) -> None:
    answering = Answering(concurrency=1, queue=2)
    async with background(tmp_path, answering) as made:
        begun = await asyncio.gather(*[made.begin(request(n)) for n in range(9)], return_exceptions=True)
        assert sum(isinstance(job, Job) for job in begun) == 3
        assert sum(isinstance(job, Busy) for job in begun) == 6


async def test_a_key_that_fills_the_queue_keeps_no_other_out(tmp_path: Path) -> None:
    async with background(tmp_path, Answering(concurrency=1, queue=2)) as made:
        for n in range(3):
            await made.begin(request(n, "greedy"))
        with pytest.raises(Busy):
            await made.begin(request(3, "greedy"))
        await made.begin(request(4, "modest"))
        await made.begin(request(5, "modest"))
        with pytest.raises(Busy):  # as many as the other now
            await made.begin(request(6, "modest"))


async def test_what_waits_for_the_models_after_a_restart_can_be_cancelled_and_deleted(tmp_path: Path) -> None:
    async with background(tmp_path, Answering()) as made:
        for n in range(2):
            await made.begin(request(n))
    answering = Answering(opened=False)
    async with background(tmp_path, answering) as made:
        first = await read(made, request(0))
        await made.cancel(first)
        assert status(first) == status(await read(made, request(0))) == "cancelled"
        await made.request(request(1).id, None)
        await made.delete(request(1).id)
        with pytest.raises(ApiError, match="no stored response"):
            await made.request(request(1).id, None)
        answering.service.opened.set()
    assert answering.answers == 0


async def test_a_plain_answer_that_was_cancelled_is_not_made_by_the_next_server(tmp_path: Path) -> None:
    async with background(tmp_path, Answering()) as made:
        await made.begin(request())
    (tmp_path / request().id / "cancelled").touch()  # and the process ended
    answering = Answering(at_once=True)
    async with background(tmp_path, answering) as made:
        assert status(await ended(made, request())) == "cancelled" and answering.answers == 0


async def test_cancelling_twice_at_once_leaves_nothing_open(tmp_path: Path) -> None:
    async with background(tmp_path, Answering()) as made:
        job = await made.begin(request())
        await asyncio.sleep(0)
        await asyncio.gather(made.cancel(job), made.cancel(job), made.cancel(job))
        assert status(await read(made, request())) == "cancelled"
        assert not made.store.is_open(request().id)


@pytest.mark.parametrize("error", [JournalError("The disk is full."), RuntimeError("a bug")])
async def test_what_cannot_be_continued_is_shown_as_failed_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async with background(tmp_path, Answering()) as made:
        for n in range(2):
            await made.begin(request(n))

    def failing(self: ResponseStore, id: str) -> Any:
        if id == request(0).id:
            raise error
        return reopened(self, id)

    reopened = ResponseStore.reopened
    answering = Answering(at_once=True)
    with monkeypatch.context() as patch:
        patch.setattr(ResponseStore, "reopened", failing)
        async with background(tmp_path, answering) as made:
            stuck = await read(made, request(0))
            assert status(stuck) == "failed" and "next start" in stuck.renderer.response["error"]["message"]
            assert status(await ended(made, request(1))) == "completed"
            assert made.store.is_open(request(0).id)
    async with background(tmp_path, answering) as made:
        assert status(await ended(made, request(0))) == "completed"


async def test_a_disk_that_fails_in_the_middle_leaves_no_response_in_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering = Answering()
    async with background(tmp_path, answering) as made:
        job = await made.begin(request())
        assert job.file is not None

        async def failing() -> None:
            raise JournalError("The disk is full.")

        monkeypatch.setattr(job.file, "commit", failing)
        monkeypatch.setattr(made.store, "entries", entries_without_end(made.store))
        answering.go.set()
        await asyncio.wait({made._tasks[job.request.id]})
        await asyncio.sleep(0)
        assert status(await read(made, request())) == "failed"


async def test_a_response_that_comes_while_unfinished_ones_are_looked_for_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering, found = Answering(at_once=True, concurrency=2), threading.Event()
    names: list[str] = []
    run, unfinished = ResponseStore.run, ResponseStore.unfinished

    def late(self: ResponseStore) -> Any:
        found.wait()
        return unfinished(self)

    async def noted(self: ResponseStore, work: Any, *args: Any, **kwargs: Any) -> Any:
        names.append(work.__name__)
        return await run(self, work, *args, **kwargs)

    monkeypatch.setattr(ResponseStore, "unfinished", late)
    monkeypatch.setattr(ResponseStore, "run", noted)
    async with background(tmp_path, answering) as made:
        beginning = asyncio.create_task(made.begin(request()))
        for _ in range(5):
            await asyncio.sleep(0)
        before = list(names)
        found.set()
        await beginning
        assert "add" not in before  # the search for unfinished ones would find it
        assert status(await ended(made, request())) == "completed"
        assert answering.answers == 1


def entries_without_end(store: ResponseStore) -> Callable[[str], Any]:
    """Reads what the disk took before it was full."""
    entries = store.entries

    def read(id: str) -> Any:
        return entries(id)[:1]

    return read


async def test_the_loop_reads_and_writes_no_files_when_it_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with background(tmp_path, Answering()) as made:
        await made.begin(request())
    threads = []
    for name in ("reopened", "rendered", "unfinished"):
        done = getattr(ResponseStore, name)

        def watched(self: ResponseStore, *given: Any, done: Callable[..., Any] = done) -> Any:
            threads.append(threading.current_thread())
            return done(self, *given)

        monkeypatch.setattr(ResponseStore, name, watched)
    async with background(tmp_path, Answering()) as made:
        await read(made, request())
    assert len(threads) == 3 and threading.main_thread() not in threads


async def test_a_response_that_is_deleted_while_it_is_read_is_not_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with background(tmp_path, Answering(at_once=True)) as made:
        await made.begin(request())
        await ended(made, request())
        sent = await made.request(request().id, None)
        await made.delete(sent.id)
        with pytest.raises(ApiError) as error:
            await made.read(sent)
        assert error.value.status == 404
        find = iter([sent])
        monkeypatch.setattr(
            made.store, "find", lambda *given: next(find, None) or ResponseStore.find(made.store, *given)
        )
        with pytest.raises(BadRequest, match="names no response"):
            History(made.store, None).continued({"input": "Go on.", "previous_response_id": sent.id})


async def test_a_damaged_response_shows_its_file_to_the_log_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with background(tmp_path, Answering(at_once=True)) as made:
        await made.begin(request())
        job = await ended(made, request())
        await asyncio.wait({*made._tasks.values(), asyncio.create_task(asyncio.sleep(0))})
        path = made.store.path(job.request.id) / "entries.jsonl"
        path.write_bytes(path.read_bytes().replace(b'"text":"a"', b'"text":"b"'))
        with pytest.raises(ApiError) as error:
            await made.read(job.request)
        assert error.value.status == 500 and str(tmp_path) not in str(error.value)
        assert str(path) in caplog.text
        body = {"model": "m", "input": "Go on.", "previous_response_id": job.request.id}
        with pytest.raises(ApiError, match="its log"):
            History(made.store, None).continued(body)
