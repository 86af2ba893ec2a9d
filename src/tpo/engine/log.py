"""An append-only file of lines that survives crashes.

Lines are handed to the operating system in the same turn of the event loop in which they were appended, so that a
killed process loses at most what was appended in that last millisecond. `commit` waits until they are on the disk, so
that a machine that loses power loses nothing that was committed: one `fsync` serves all tasks that wait (group commit).
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from tpo.errors import InputError, JournalError

# Seconds between two syncs, at least.
INTERVAL = 0.01


class Log:
    """A file of lines, open for appending.

    Args:
        path: the file.
        what: what it is, for errors.
        exclusive: keep other writers out for as long as it is open; a killed process leaves no lock behind.

    Raises:
        JournalError: it cannot be opened for writing.
        InputError: another writer keeps it locked.
    """

    def __init__(self, path: Path, what: str = "journal", *, exclusive: bool = False) -> None:
        self.path = path
        self._what = what
        self._pending: list[bytes] = []
        self._appended = 0
        self._durable = 0
        self._synced_at = float("-inf")
        self._syncing: asyncio.Task[None] | None = None
        self._synced = asyncio.Event()
        self._failure: str | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = path.open("ab", buffering=0)
        except OSError as error:
            raise JournalError(f"The {what} {path} cannot be written: {error.strerror}.") from error
        self._lock = _locked(self._file, path, what) if exclusive else None

    def cut(self, size: int) -> None:
        """Keep only the first so many bytes of what was there.

        Raises:
            JournalError: the file cannot be written.
        """
        try:
            self._file.truncate(size)
        except OSError as error:
            raise JournalError(f"The {self._what} {self.path} cannot be written: {error.strerror}.") from error

    def append(self, line: bytes) -> None:
        """Add a line, without its end.

        Raises:
            JournalError: the disk is full, or writing failed otherwise; nothing more can be appended then.
        """
        if self._failure is not None:
            raise JournalError(self._failure)
        self._pending.append(line)
        self._appended += 1
        if len(self._pending) > 1:
            return
        try:
            # Many lines come at once, and a write costs the same for one as for many.
            asyncio.get_running_loop().call_soon(self._flush)
        except RuntimeError:  # outside of any loop
            self._flush()
            self._complain()

    def _flush(self) -> None:
        if not self._pending or self._failure is not None:
            return
        data = b"\n".join((*self._pending, b""))
        self._pending.clear()
        written = 0
        try:
            while written < len(data):  # a nearly full disk accepts a part
                written += self._file.write(data[written:])
        except OSError as error:
            self._failure = (
                f"The {self._what} {self.path} cannot be written: {error.strerror}. What it holds is kept: free some "
                f"space and run the same command again to continue."
            )
            self._cut_off(written - data.rfind(b"\n", 0, written) - 1)

    def _complain(self) -> None:
        if self._failure is not None:
            raise JournalError(self._failure)

    def _cut_off(self, torn: int) -> None:
        # Half a line in the middle of a file would make it unreadable, if more lines followed.
        if torn:
            with suppress(OSError):
                os.ftruncate(self._file.fileno(), self._file.tell() - torn)

    async def commit(self) -> None:
        """Wait until everything appended so far is on the disk.

        Raises:
            JournalError: the disk refuses it.
        """
        self._flush()
        self._complain()
        target = self._appended
        while self._durable < target:
            if self._syncing is None or self._syncing.done():
                self._syncing = asyncio.create_task(self._sync())
            syncing = self._syncing
            await self._synced.wait()
            syncing.result()

    async def _sync(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            # Where many wait, the next one waits for more of them.
            await asyncio.sleep(max(self._synced_at + INTERVAL - loop.time(), 0.0))
            self._flush()
            appended = self._appended
            await asyncio.to_thread(self._fsync)
            self._durable = appended
        finally:
            self._syncing = None
            self._synced_at = loop.time()
            self._synced.set()
            self._synced = asyncio.Event()

    def _fsync(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except ValueError:  # `close` came first, and has synced everything
            return
        except OSError as error:
            if error.errno in NOTHING_TO_SYNC:
                return
            self._failure = f"The {self._what} {self.path} cannot be written to the disk: {error.strerror}."
            raise JournalError(self._failure) from error

    def close(self) -> None:
        """Make everything durable and close the file.

        Raises:
            JournalError: the last lines could not be written.
        """
        if self._file.closed:
            return
        self._flush()
        with suppress(OSError):
            os.fsync(self._file.fileno())
        self._file.close()
        if self._lock is not None:
            self._lock.release()
        self._complain()


def _locked(file: IO[bytes], path: Path, what: str) -> FileLock | None:
    """Lock a file for as long as it is open; the lock to release, where closing the file does not."""
    taken = InputError(f"Another process writes to the {what} {path}: wait for it, or name another file.")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return None  # a device takes any number of writers
    if sys.platform == "win32":
        lock = FileLock(path.with_name(f"{path.name}.lock"), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            file.close()
            raise taken from None
        return lock
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise taken from None
    except OSError:  # the file system has no locks
        pass
    return None


# The error of the operating system for a pipe or a device.
NOTHING_TO_SYNC = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EROFS})


def cut_torn_line(path: Path) -> int:
    """Cut off a torn last line, so that appending starts on a new one.

    Returns:
        the bytes that were cut off.
    """
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        start = end
        while start > 0:
            size = min(start, 1 << 16)
            file.seek(start - size)
            found = file.read(size).rfind(b"\n")
            if found >= 0:
                start = start - size + found + 1
                break
            start -= size
        if start < end:
            file.truncate(start)
            os.fsync(file.fileno())
    return end - start
