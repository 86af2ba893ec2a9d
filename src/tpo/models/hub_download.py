"""One file of the Hugging Face Hub: fetched, continued where an earlier try ended, and checked.

huggingface_hub knows the server (HF_ENDPOINT), the user's token and what a refusal means. The bytes are fetched here,
because huggingface_hub 2 forgets what it had when a process ends: here a part stays and is continued, and a file gets
its name only after its SHA-256 was compared with the one that the Hub has for it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import msgspec

from tpo.errors import InputError, ModelError
from tpo.http.redaction import without_passwords
from tpo.models.weights import CACHE

HUB = "hub:"
TIMEOUT = 30.0
# Connections in a row that brought nothing before a fetch is given up, and seconds to wait after each.
_FRUITLESS = 5
_WAITS = (1.0, 2.0, 4.0, 8.0)
_PROGRESS_SECONDS = 5.0

Progress = Callable[[str], None]


class HubFile(msgspec.Struct, frozen=True):
    """A file of a repository.

    Attributes:
        name: its path in the repository.
        size: bytes.
        sha256: the checksum that the Hub has for it.
    """

    name: str
    size: int
    sha256: str


class HubSource(msgspec.Struct, frozen=True):
    """Where a file comes from.

    Attributes:
        name: the repository, ORG/REPO.
        commit: which of its versions.
        licence: as its card has it; empty where it has none.
    """

    name: str
    commit: str
    licence: str


def download(source: HubSource, file: HubFile, target: Path, progress: Progress, stop: Event) -> None:
    """Download a file to its place, unless it exists.

    Args:
        source: the repository.
        file: the file.
        target: its place; beside it lie its lock and, until it is whole, its part.
        progress: called with a line now and then.
        stop: ends the fetch when it is set.

    Raises:
        InputError: the repository does not let the user in.
        ModelError: the Hub cannot be reached, the connection broke off for good, or what came is damaged.
        OSError: it cannot be written.
    """
    from filelock import FileLock, Timeout

    target.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{target}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress(f"another process fetches {file.name}: waiting for it")
        lock.acquire()
    try:
        if size_of(target) == file.size:
            return
        part = target.with_name(f"{target.name}.{file.sha256[:12]}.part")
        _complete(source, file, part, progress, stop)
        _check(source, file, part)
        part.replace(target)
        progress(f"fetched {file.name}, and its SHA-256 is the Hub's")
    finally:
        lock.release()


def _complete(source: HubSource, file: HubFile, part: Path, progress: Progress, stop: Event) -> None:
    """Bring a file to its size, from where an earlier try ended."""
    have = size_of(part) or 0
    if have > file.size:
        part.unlink()
        have = 0
    _see_room(file.size - have, part.parent)
    licence = f", licence {source.licence}" if source.licence else ""
    begun = f"continuing at {megabytes(have)}" if have else "once"
    progress(f"fetching {file.name} from {HUB}{source.name} ({megabytes(file.size)}, {begun}{licence})")
    report = _Report(file, have, progress)
    fruitless = 0
    while have < file.size:
        why = "the connection ended early"
        try:
            with part.open("ab") as out, closing(_blocks(source, file, have)) as blocks:
                for block in blocks:
                    out.write(block)
                    have += len(block)
                    fruitless = 0
                    report.at(have)
                    if stop.is_set():
                        raise ModelError(f"The fetch of {file.name} was interrupted; the part is kept.")
        except _Broken as error:
            why = str(error)
        if have >= file.size:
            break
        fruitless += 1
        if fruitless == _FRUITLESS or stop.wait(_WAITS[fruitless - 1]):
            raise ModelError(
                f"{file.name} of {HUB}{source.name} broke off at {megabytes(have)} of {megabytes(file.size)} "
                f"({why}). The part is kept: the same command continues there."
            )
    with part.open("rb+") as out:
        os.fsync(out.fileno())  # else a crash of the machine could leave a whole name on half a file


class _Broken(Exception):
    """A connection that may be tried again."""


def _blocks(source: HubSource, file: HubFile, start: int) -> Generator[bytes, None, None]:
    """The bytes of a file from a place on."""
    hub = library()
    endpoint = os.environ.get("HF_ENDPOINT") or None
    url = hub.hf_hub_url(source.name, file.name, revision=source.commit, endpoint=endpoint)
    # What is counted is what lies in the file, so nothing may be compressed on the way.
    headers = {**hub.utils.build_hf_headers(library_name="tpo"), "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        with hub.get_session().stream("GET", url, headers=headers, timeout=TIMEOUT) as response:
            if response.status_code in (408, 429) or response.status_code >= 500:
                raise _Broken(f"the Hub answered {response.status_code}")
            hub.utils.hf_raise_for_status(response)
            # A server that knows no ranges begins at the beginning.
            skip = start if response.status_code == 200 else 0
            left = file.size - start
            for block in response.iter_bytes():
                kept = block[skip:][:left]
                skip = max(skip - len(block), 0)
                left -= len(kept)
                if kept:
                    yield kept
                if not left:
                    return
    except Exception as error:
        if isinstance(error, _Broken):
            raise
        # The HTTP library is httpx or its successor, as huggingface_hub's version has it; only the name is the same.
        if any(one.__name__ in ("TransportError", "StreamError") for one in type(error).__mro__):
            raise _Broken(_first_line(error)) from error
        raise refusal(source.name, error) from error


class _Report:
    """Reports how far a fetch is, now and then."""

    def __init__(self, file: HubFile, have: int, progress: Progress) -> None:
        self._file = file
        self._progress = progress
        self._start = have
        self._begun = self._last = time.monotonic()

    def at(self, have: int) -> None:
        """Report, if the last report is long ago."""
        now = time.monotonic()
        if now - self._last < _PROGRESS_SECONDS:
            return
        self._last = now
        speed = (have - self._start) / (now - self._begun)
        left = (self._file.size - have) / speed
        share = 100 * have // self._file.size
        self._progress(
            f"{self._file.name}: {megabytes(have)} of {megabytes(self._file.size)} ({share} %), "
            f"{speed / 1e6:.1f} MB/s, about {left:.0f} s left"
        )


def _check(source: HubSource, file: HubFile, part: Path) -> None:
    with part.open("rb") as data:
        found = hashlib.file_digest(data, "sha256").hexdigest()
    if found != file.sha256:
        part.unlink()
        raise ModelError(
            f"{file.name} of {HUB}{source.name} is not what the Hub describes: its SHA-256 is {found[:12]}… and "
            f"not {file.sha256[:12]}…. It was removed. Try again; if that does not help, something between here and "
            f"the Hub (a mirror, a proxy) changes files."
        )


def _see_room(needed: int, place: Path) -> None:
    free = shutil.disk_usage(place).free
    if needed > free:
        raise ModelError(
            f"{place} has {megabytes(free)} free, and {megabytes(needed)} are to come: make room, or name another "
            f"folder with {CACHE}."
        )


def library() -> Any:
    """huggingface_hub, or an error that says how to get it."""
    # It reads this when it is imported. Otherwise it asks which program calls it, and sends the name to the Hub.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import huggingface_hub
    except ImportError as error:
        raise InputError(
            f"{HUB}… needs huggingface_hub: pip install 'tpo[hub]' (from a clone: '.[hub]'). A file that you fetched "
            f"otherwise runs as gguf:PATH."
        ) from error
    return huggingface_hub


def refusal(name: str, error: Exception) -> InputError | ModelError:
    """What an error of huggingface_hub means to a user.

    Args:
        name: the repository.
        error: the error.
    """
    from huggingface_hub import errors

    status = getattr(getattr(error, "response", None), "status_code", None)
    signed_in = bool(library().get_token())
    if isinstance(error, errors.GatedRepoError):
        page = f"{_endpoint()}/{name}"
        token = "the account of your token was not let in yet" if signed_in else "set HF_TOKEN to your token"
        return InputError(f"{HUB}{name} is gated: accept its terms at {page}, signed in, and {token}.")
    if isinstance(error, errors.EntryNotFoundError | errors.RevisionNotFoundError):
        return InputError(f"{HUB}{name} has changed since it was listed: remove its folder in the cache and try again.")
    if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 403):
        token = "whose token has no access to it" if signed_in else "which needs HF_TOKEN"
        return InputError(f"{HUB}{name} is not on the Hub: check the name, or it is private, {token}.")
    if isinstance(error, errors.OfflineModeIsEnabled):
        return ModelError(f"{HUB}{name} is not in the cache, and HF_HUB_OFFLINE is set: unset it for the first fetch.")
    what = f"answered {status}" if status else f"cannot be reached ({_first_line(error)})"
    return ModelError(
        f"{HUB}{name} is not in the cache, and the Hub at {_endpoint()} {what}. Check the network (HF_ENDPOINT, "
        f"https_proxy), or run a file that you have with gguf:PATH."
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def _endpoint() -> str:
    return without_passwords(os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def size_of(path: Path) -> int | None:
    """Bytes of a file; None where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def megabytes(size: int) -> str:
    """A size for people."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{max(size, 1) / 1e6:.3g} MB"
