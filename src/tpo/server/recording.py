"""Keeps the traces of served requests for a number of days.

FOLDER/2026-11-26/req-….jsonl, as `tpo align --trace` writes them: `tpo replay` and `tpo view` read them.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tpo.engine.events import Event, Listener, Retrying, TextGrew
from tpo.engine.records import Record, Resumed
from tpo.errors import InputError
from tpo.server.asgi import RequestInfo
from tpo.server.request_options import RequestOptions

log = logging.getLogger("tpo.server")

DAY = 86_400.0
# Seconds between two looks for what is too old.
LOOK = 3600.0

_ODD = re.compile(r"[^A-Za-z0-9_.-]+")
_OURS = re.compile(r"\d{4}-\d\d-\d\d")


class Recorder:
    """Writes each aligned request's trace when it is over, and deletes those that are too old.

    In a thread: a disk that is slow, or full, is no reason for an answer to wait, or to fail.

    Args:
        folder: where to.
        days: for which traces are kept.

    Raises:
        InputError: the folder cannot be written to.
    """

    def __init__(self, folder: Path, days: float) -> None:
        if not days > 0:
            raise InputError(f"--record-days is {days:g}; it must be above 0.")
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            probe = folder / f".{secrets.token_hex(4)}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise InputError(f"Traces cannot be kept in {folder}: {error.strerror}.") from error
        self._folder = folder
        self._days = days
        self._looked = float("-inf")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tpo-recorder")
        self._failing = threading.Event()

    @contextmanager
    def watch(self, info: RequestInfo, options: RequestOptions) -> Iterator[Listener]:
        """Keep what happens."""
        records: list[Record] = []

        def listen(event: Event) -> None:
            if not isinstance(event, TextGrew | Retrying):
                records.append(event)

        try:
            yield listen
        finally:
            # A search that an earlier process began has its whole trace in the store of responses.
            if records and not any(isinstance(record, Resumed) for record in records):
                self._thread.submit(self._keep, info.id, records)

    def close(self) -> None:
        """Wait until all is written."""
        self._thread.shutdown()

    def _keep(self, id: str, records: list[Record]) -> None:
        now = datetime.now(UTC)
        # A client chooses its request's id, and may choose the same again.
        name = f"{now:%H%M%S}-{_ODD.sub('-', id)[:80].strip('.-')}-{secrets.token_hex(3)}.jsonl"
        path = self._folder / f"{now:%Y-%m-%d}" / name
        partly = path.with_suffix(".part")
        try:
            path.parent.mkdir(exist_ok=True, mode=0o700)
            with os.fdopen(os.open(partly, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(b"".join(msgspec.json.encode(record) + b"\n" for record in records))
            partly.rename(path)
            self._failing.clear()
        except OSError as error:
            with suppress(OSError):
                partly.unlink()
            if not self._failing.is_set():  # logged once, not for each request
                log.error("The trace of a request cannot be kept in %s: %s.", self._folder, error.strerror)
            self._failing.set()
        if time.monotonic() - self._looked > LOOK:
            self._looked = time.monotonic()
            self.forget()

    def forget(self) -> None:
        """Delete what is too old."""
        before = time.time() - self._days * DAY
        for day in [path for path in self._folder.iterdir() if _OURS.fullmatch(path.name)]:
            for trace in day.glob("*.jsonl"):
                with suppress(OSError):
                    if trace.stat().st_mtime < before:
                        trace.unlink()
            with suppress(OSError):
                day.rmdir()  # only where it is empty
