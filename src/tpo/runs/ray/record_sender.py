"""Sends a worker's records to the coordinator as they happen, and waits until they are durable before they are used.

A record is sent at once, together with those that gathered while the last request was in flight. `commit` waits for the
reply, which is sent when the records are on the coordinator's disk. A worker that dies loses only what had not arrived.
"""

from __future__ import annotations

import asyncio
import os
import platform
import uuid
from collections.abc import Awaitable, Callable

from tpo.engine.journal import Journal
from tpo.engine.records import Record
from tpo.errors import JournalError
from tpo.runs.answers import Answer
from tpo.runs.ray.wire import Begin, CoordinatorReply, Failure, Post, decode_reply, encode

# Seconds between two reports of a worker that has no records.
HEARTBEAT = 1.0


class RecordSender:
    """Sends reports, one at a time and in order.

    Args:
        call: sends a message and waits for the reply.
        load: what is in flight at each server, and how much may be.
        on_reply: called with each reply.
    """

    def __init__(
        self,
        call: Callable[[bytes], Awaitable[bytes]],
        load: Callable[[], list[tuple[int, int]]],
        on_reply: Callable[[CoordinatorReply], None],
    ) -> None:
        self.worker = f"{platform.node()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._call = call
        self._load = load
        self._on_reply = on_reply
        self._records: list[tuple[str, Record]] = []
        self._answers: list[Answer] = []
        self._notes: list[str] = []
        self._failure: Failure | None = None
        self._put = self._sent = self._posts = 0
        self._something = asyncio.Event()
        self._arrived = asyncio.Event()
        self._broken: str | None = None
        self._sending = asyncio.ensure_future(self._send_all())

    def record(self, key: str, record: Record) -> None:
        """Send a record of a query."""
        self._records.append((key, record))
        self._queued()

    def answer(self, answer: Answer) -> None:
        """Send the answer to a query."""
        self._answers.append(answer)
        self._queued()

    def note(self, line: str) -> None:
        """Send a sentence that a user should read."""
        self._notes.append(line)
        self._queued()

    def fail(self, failure: Failure) -> None:
        """Send why this worker cannot go on."""
        self._failure = failure
        self._queued()

    async def begin(self, queries: list[tuple[str, str]]) -> dict[str, list[Record]]:
        """Begin queries.

        Args:
            queries: their keys and ids.

        Returns:
            the records of each so far; finished ones are left out.
        """
        reply = decode_reply(await self._call(encode(Begin(self.worker, queries))))
        self._take(reply)
        return reply.past

    async def commit(self) -> None:
        """Wait until everything that was sent so far is durable.

        Raises:
            JournalError: the run's process is gone.
        """
        target = self._put
        while self._sent < target:
            if self._broken is not None:
                raise JournalError(self._broken)
            await self._arrived.wait()

    async def aclose(self) -> None:
        """Stop sending."""
        self._sending.cancel()
        await asyncio.gather(self._sending, return_exceptions=True)

    def _queued(self) -> None:
        self._put += 1
        self._something.set()

    def _take(self, reply: CoordinatorReply) -> None:
        if reply.dismissed:
            # Another process has this work already: whatever this one does from now on would be done twice.
            os._exit(1)
        self._on_reply(reply)

    async def _send_all(self) -> None:
        try:
            while True:
                try:
                    async with asyncio.timeout(HEARTBEAT):
                        await self._something.wait()
                except TimeoutError:
                    pass
                await self._send()
        except Exception as error:
            self._broken = f"The process that holds the run cannot be reached any more ({type(error).__name__})."
            self._wake_waiting()

    async def _send(self) -> None:
        self._something.clear()
        target = self._put
        self._posts += 1
        post = Post(self.worker, self._posts, self._records, self._answers, self._load(), self._notes, self._failure)
        self._records, self._answers, self._notes = [], [], []
        reply = decode_reply(await self._call(encode(post)))
        self._sent = target
        self._wake_waiting()
        self._take(reply)

    def _wake_waiting(self) -> None:
        arrived, self._arrived = self._arrived, asyncio.Event()
        arrived.set()


class SentJournals:
    """The journals of all queries, kept where the run's directory is (`tpo.runs.runner.Journals`).

    Args:
        sender: sends records there.
    """

    def __init__(self, sender: RecordSender) -> None:
        self._sender = sender

    def of(self, key: str, id: str, records: list[Record]) -> Journal:
        """The journal of one query, with what it holds already."""
        return Journal(_QueryRecords(self._sender, key), records)

    async def commit(self) -> None:
        """Wait until everything is on the disk."""
        await self._sender.commit()


class _QueryRecords:
    """The records of one query."""

    def __init__(self, sender: RecordSender, key: str) -> None:
        self._sender = sender
        self._key = key

    def append(self, record: Record) -> None:
        self._sender.record(self._key, record)

    async def commit(self) -> None:
        await self._sender.commit()

    def close(self) -> None:
        """The sender belongs to the worker."""
