"""Writing to a key file: what was written into it by hand stays, and a server that reads it meanwhile sees the file
as it was before or as it is afterwards.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock

from tpo.errors import InputError
from tpo.server.keys import Client, hashed, read_keys
from tpo.server.limits import Limits

PREFIX = "tpo-"

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TABLE = re.compile(r"^[ \t]*\[[ \t]*(?P<quote>[\"']?)(?P<name>[^\]\"']*?)(?P=quote)[ \t]*\]")


def make_key(path: Path, name: str, limits: Limits, *, operator: bool = False) -> str:
    """Make a key and write it down, hashed, at the end of a key file.

    Args:
        path: the file; one that is not there is made, and only its owner may read it.
        name: the client's name.
        limits: its limits.
        operator: it may look at everybody's requests.

    Returns:
        the key, which is not kept anywhere.

    Raises:
        InputError: the name is taken or none, a limit is below 1, or the file cannot be read or written.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is not a name for a client: it has 1 to 64 letters, digits, - and _.")
    if any(value is not None and value < 1 for value in msgspec.structs.astuple(limits)):
        raise InputError("A limit is at least 1; leave out what is not to be limited.")
    key = PREFIX + secrets.token_urlsafe(32)
    client = Client(hashed(key), operator, *msgspec.structs.astuple(limits))
    lines = [f"{field} = {msgspec.json.encode(value).decode()}" for field, value in _given(client).items()]
    with _rewriting(path) as text:
        if name in _clients(path):
            raise InputError(f"{path} has a key for {name} already: `tpo key {name} --file {path} --revoke` ends it.")
        above = [text[0].rstrip("\n"), ""] if text[0].strip() else []
        text[0] = "\n".join([*above, f"[{name}]", *lines, ""])
    return key


def revoke_key(path: Path, name: str) -> None:
    """Take a client's table out of a key file.

    Args:
        path: the file.
        name: the client's name.

    Raises:
        InputError: there is no such client, or the file cannot be read or written.
    """
    with _rewriting(path) as text:
        before = _clients(path)
        if name not in before:
            known = ", ".join(sorted(before)) or "nobody"
            raise InputError(f"{path} has no key for {name}; it knows {known}.")
        text[0] = _without(text[0], name)
        after = {other: client for other, client in before.items() if other != name}
        _check(path, name, text[0], after)


def _clients(path: Path) -> dict[str, Client]:
    return read_keys(path) if path.exists() else {}


def _given(client: Client) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(client)
    return {name: value for name, value in fields.items() if value is not None and value is not False}


def _without(text: str, name: str) -> str:
    kept: list[str] = []
    dropping = False
    for line in text.splitlines(keepends=True):
        table = _TABLE.match(line)
        if table is not None:
            dropping = table["name"] == name
        if not dropping:
            kept.append(line)
    return "".join(kept)


def _check(path: Path, name: str, text: str, wanted: dict[str, Client]) -> None:
    """Check that no other client is lost: TOML can be written in ways that a search for lines does not know."""
    probe = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        _write(probe, text, 0o600)
        same = read_keys(probe) == wanted
    except InputError:
        same = False
    finally:
        probe.unlink(missing_ok=True)
    if not same:
        raise InputError(f"{path} is written in a way that only its author can change: delete [{name}] there by hand.")


@contextmanager
def _rewriting(path: Path) -> Iterator[list[str]]:
    """Change a file: what is left in the list when this ends takes its place, all at once."""
    path = path.resolve()  # a link stays one
    if not path.parent.is_dir():  # the lock would make it, typing errors included
        raise InputError(f"The key file {path} cannot be written: there is no directory {path.parent}.")
    try:
        with FileLock(path.with_name(f".{path.name}.lock"), mode=0o600):
            status = path.stat() if path.exists() else None
            text = [path.read_text(encoding="utf-8") if status is not None else ""]
            yield text
            fresh = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
            try:
                _write(fresh, text[0], 0o600 if status is None else stat.S_IMODE(status.st_mode))
                if status is not None:
                    with suppress(PermissionError):
                        os.chown(fresh, status.st_uid, status.st_gid)
                fresh.replace(path)
            finally:
                fresh.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"The key file {path} cannot be written: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"The key file {path} is not TOML: {error}.") from error


def _write(path: Path, text: str, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(mode)
