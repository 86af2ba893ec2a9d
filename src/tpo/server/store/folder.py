"""The folder in which responses are stored.

    FOLDER/resp_…/request.json   what was sent
                  entries.jsonl  what the response is made from: deltas, and its end
                  trace.jsonl    the journal of its search, where it is made in the background
                  open           the response is not complete: the next server on this folder continues with it
                  cancelled      its client ended it

A response appears whole or not at all: its folder is written under another name first.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import msgspec
from filelock import FileLock, Timeout

from tpo.decoding import prepared
from tpo.engine.lines import LineReader, LineWriter
from tpo.engine.log import Log
from tpo.errors import InputError, JournalError
from tpo.server.deltas import Narration
from tpo.server.errors import ApiError
from tpo.server.protocols import sse
from tpo.server.protocols.responses.reader import read_responses
from tpo.server.protocols.responses.renderer import Begun, Completed, Entry, Failed, ResponsesRenderer
from tpo.server.store.quota import Quota

log = logging.getLogger("tpo.server")

P = ParamSpec("P")
T = TypeVar("T")

# Threads that read and write.
THREADS = 4
DAY = 86_400.0
# Bytes of a disk that a folder takes, and a file at least.
BLOCK = 4096
# Seconds between two searches for responses that are too old.
SWEEP = 3600.0

_ID = re.compile(r"resp_[0-9a-f]{32}")
_PART = ".part"
_WHAT = "entry of a stored response"


class StoredRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request whose response is stored.

    Attributes:
        key: what the ids of the response are made of.
        client: the name of the key that it came with.
        at: when it came, in seconds since 1970.
        body: the request, with all of its input.
        headers: those of its headers that are options.
        fingerprint: a hash of the body as it was sent.
    """

    key: str
    client: str | None
    at: int
    body: dict[str, Any]
    headers: list[tuple[str, str]] = []
    fingerprint: str = ""

    @property
    def id(self) -> str:
        """The response's id."""
        return f"resp_{self.key}"


class _Owner(msgspec.Struct):
    """What the survey reads of a stored request."""

    client: str | None
    at: int


def key_of(client: str | None, idempotency_key: str) -> str:
    """The key of a response to a request with an idempotency key: the same each time."""
    return hashlib.sha256(msgspec.json.encode((client, idempotency_key))).hexdigest()[:32]


class ResponseStore:
    """Reads and writes the folder. All methods but `run` block.

    Args:
        folder: where responses are stored.
        days: for how long.
        most: bytes of one key's responses; beyond that its oldest are deleted.

    Raises:
        InputError: the folder cannot be written to, or another server uses it.
    """

    def __init__(self, folder: Path, days: float, most: int = 2_000_000_000) -> None:
        self._folder = folder
        self._days = days
        self._quota = Quota(most, self.is_open)
        self._closing = False
        self._swept = float("-inf")
        self._writer = LineWriter[Entry](Entry)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="tpo-store")
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = FileLock(folder / ".lock")
            self._lock.acquire(timeout=0)
            for part in folder.glob(f"*{_PART}"):
                shutil.rmtree(part, ignore_errors=True)
        except Timeout:
            raise InputError(f"Another server stores responses in {folder}: name another folder.") from None
        except OSError as error:
            raise InputError(f"Responses cannot be stored in {folder}: {error.strerror}.") from error

    def close(self) -> None:
        """Let other servers use the folder, once all is written."""
        self._closing = True
        self._threads.shutdown()
        self._lock.release()

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do some work in one of the store's threads, which a slow disk keeps busy and nothing else waits for."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *args, **kwargs))

    def path(self, id: str) -> Path:
        """The folder of a response."""
        return self._folder / id

    def trace(self, id: str) -> Path:
        """The journal of a response's search."""
        return self.path(id) / "trace.jsonl"

    def add(self, request: StoredRequest, entries: Iterable[Entry] = (), *, open: bool = False) -> None:
        """Store a response.

        Args:
            request: what was sent.
            entries: what the response is made from.
            open: it is still to be made.

        Raises:
            ApiError: it cannot be stored.
        """
        part = self._folder / f"{request.id}{_PART}"
        try:
            part.mkdir(mode=0o700)
            for name, data in (
                ("request.json", msgspec.json.encode(request)),
                ("entries.jsonl", b"".join(self._writer.line(entry) + b"\n" for entry in entries)),
                *([("open", b"")] if open else []),
            ):
                with (part / name).open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            part.rename(self.path(request.id))
        except OSError as error:
            shutil.rmtree(part, ignore_errors=True)
            message = f"The response cannot be stored: {error.strerror}."
            raise ApiError(503, message, code="not_stored") from error
        self._count(request.client, request.id)
        self._sweep()

    def survey(self) -> None:
        """Delete what is too old, and count what the responses of an earlier process take."""
        self._sweep()
        found = []
        for path in self._folder.glob("resp_*/request.json"):
            if self._closing:
                return
            with suppress(OSError, msgspec.MsgspecError):
                owner = msgspec.json.decode(path.read_bytes(), type=prepared(_Owner))
                found.append((owner.at, owner.client, path.parent.name, self._bytes(path.parent.name)))
        found.sort(key=lambda one: one[0])
        for id in self._quota.earlier((client, id, size) for _, client, id, size in found):
            self.delete(id)

    def find(self, id: str, client: str | None) -> StoredRequest:
        """The request of a stored response.

        Args:
            id: the response's id.
            client: who wants it; one that belongs to another client does not exist for it.

        Raises:
            ApiError: there is none.
        """
        request = self._read(id) if _ID.fullmatch(id) else None
        if request is None or request.client != client:
            message = f"There is no stored response {id[:100]!r}: it was never here, was deleted, or became too old."
            raise ApiError(404, message, code="response_not_found")
        return request

    def size(self, id: str) -> int:
        """Bytes of a stored response and its request; 0 where there is none."""
        with suppress(OSError):
            if _ID.fullmatch(id):
                return sum((self.path(id) / name).stat().st_size for name in ("request.json", "entries.jsonl"))
        return 0

    def entries(self, id: str) -> list[Entry]:
        """What a response is made from; a torn last line is left out.

        Raises:
            JournalError: the file is damaged.
        """
        path = self.path(id) / "entries.jsonl"
        try:
            *lines, _ = path.read_bytes().split(b"\n")
        except OSError as error:
            raise JournalError(f"The stored response {path} cannot be read: {error.strerror}.") from error
        reader = LineReader[Entry](Entry, _WHAT)
        entries = []
        for number, line in enumerate(lines, 1):

            def where(number: int = number) -> str:
                return f"{path}, line {number}"

            reader.check(line, where)
            entries.append(reader.read(line, where))
        return entries

    def rendered(self, request: StoredRequest, entries: Iterable[Entry]) -> tuple[ResponsesRenderer, list[bytes]]:
        """A stored response, and the events that lead to it, by their numbers."""
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers]
        renderer = read_responses(request.body, headers, request.key, request.at).renderer
        assert isinstance(renderer, ResponsesRenderer)
        events = renderer.opening()
        for entry in entries:
            events += renderer.apply(entry)
        return renderer, [sse.named([event]) for event in events]

    def reopened(self, id: str) -> tuple[list[Entry], Log]:
        """What an unfinished response is made from so far, and the file that it goes on in.

        Of an answer that was being written when the server ended nothing is kept: it is written again, as it was.

        Raises:
            JournalError: a file is damaged, or cannot be written.
        """
        entries = self.entries(id)
        if not (entries and isinstance(entries[-1], Completed | Failed)):
            entries = [entry for entry in entries if isinstance(entry, Begun | Narration)]
        path = self.path(id) / "entries.jsonl"
        kept = path.with_suffix(_PART)
        try:
            kept.write_bytes(b"".join(self._writer.line(entry) + b"\n" for entry in entries))
            kept.replace(path)
        except OSError as error:
            raise JournalError(f"The stored response {path} cannot be written: {error.strerror}.") from error
        return entries, Log(path, "stored response", exclusive=True)

    def line(self, entry: Entry) -> bytes:
        """An entry as it stands in its file."""
        return self._writer.line(entry)

    def searched(self, id: str) -> bool:
        """Whether a search for a response has begun."""
        trace = self.trace(id)
        return trace.exists() and trace.stat().st_size > 0

    def cancel(self, id: str) -> None:
        """Keep in mind that a response's client ended it."""
        with suppress(OSError):
            (self.path(id) / "cancelled").touch()

    def cancelled(self, id: str) -> bool:
        """Whether its client ended it."""
        return (self.path(id) / "cancelled").exists()

    def is_open(self, id: str) -> bool:
        """Whether there is something left to do for a response."""
        return (self.path(id) / "open").exists()

    def complete(self, id: str) -> None:
        """There is nothing left to do for a response."""
        with suppress(OSError):
            (self.path(id) / "open").unlink(missing_ok=True)
        if id in self._quota:  # else the survey counts it
            self._count(self._quota.client_of(id), id)

    def delete(self, id: str) -> None:
        """Remove a response."""
        gone = self._folder / f"{id}{_PART}"
        with suppress(OSError):  # at once, so that half of it is never seen
            self.path(id).rename(gone)
            shutil.rmtree(gone)
        self._quota.forget(id)

    def unfinished(self) -> list[StoredRequest]:
        """Responses that an earlier process did not complete, the oldest first."""
        found = [self._read(path.parent.name) for path in self._folder.glob("resp_*/open")]
        return sorted((request for request in found if request is not None), key=lambda request: request.at)

    def _read(self, id: str) -> StoredRequest | None:
        try:
            return msgspec.json.decode((self.path(id) / "request.json").read_bytes(), type=prepared(StoredRequest))
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            log.error("The stored response %s cannot be read: %s.", self.path(id), error)
            return None

    def _bytes(self, id: str) -> int:
        files = [file.stat().st_size for file in self.path(id).iterdir()]
        return BLOCK + sum(-(-size // BLOCK) * BLOCK for size in files)

    def _count(self, client: str | None, id: str) -> None:
        with suppress(OSError):
            for other in self._quota.put(client, id, self._bytes(id)):
                self.delete(other)

    def _sweep(self) -> None:
        if time.monotonic() - self._swept < SWEEP:
            return
        self._swept = time.monotonic()
        before = time.time() - self._days * DAY
        for path in self._folder.glob("resp_*"):
            with suppress(OSError):
                if path.stat().st_mtime < before and not self.is_open(path.name):
                    self.delete(path.name)
