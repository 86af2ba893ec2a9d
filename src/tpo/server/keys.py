"""Clients' keys: kept as hashes, each with a client's name and limits.

    [alice]
    sha256 = "9f86d081884c7d65…"
    requests-per-minute = 60

A key is 256 random bits, so that a plain hash of it cannot be turned around, and one that leaks with a backup of the
file opens nothing. `tpo key` makes one and writes its table (`keyfile.py`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import os
import re
import time
import tomllib
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from tpo.errors import InputError
from tpo.server.asgi import App, Receive, Scope, Send, header, refuse, request_info
from tpo.server.limits import Account, Limits

log = logging.getLogger("tpo.server")

VARIABLE = "TPO_SERVE_KEY"
# Characters of a key that was made by hand; those that `tpo key` makes are longer.
SHORTEST = 16
# Seconds after which a key file that was changed is read again, at the latest.
LOOKED_AT = 1.0
# Paths that need no key: health and the description of the API.
OPEN = frozenset({"/health", "/ready", "/openapi.json"})

# The page, which a browser opens.
PAGE = "/ui"
# Shows numbers of all requests.
METRICS = "/metrics"
_BROWSER = b'Basic realm="tpo: any name, and the key as password", charset="UTF-8"'


class Client(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """A client as the key file has it.

    Attributes:
        sha256: the hash of its key.
        operator: it may see all requests, on the page and in the metrics.
        requests_per_minute: see `Limits`, as for the next two.
        tokens_per_minute: tokens.
        concurrency: requests at once.
        weight: its share of a server that is full, against that of other keys; 1 unless given.
    """

    sha256: str
    operator: bool = False
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    weight: float | None = None

    @property
    def limits(self) -> Limits:
        """Its limits."""
        return Limits(self.requests_per_minute, self.tokens_per_minute, self.concurrency)


class Keys:
    """The keys of a server, and what their clients have used.

    Args:
        path: the key file; a change takes effect within a second, and one that breaks it keeps what was before.
        single: one key without limits, besides those of the file.
        clock: seconds, on any clock.

    Raises:
        InputError: the file cannot be used, or the single key is too short.
    """

    def __init__(
        self, path: Path | None = None, single: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if single is not None and len(single) < SHORTEST:
            raise InputError(
                f"The key in {VARIABLE} is shorter than {SHORTEST} characters: `tpo key` makes a good one."
            )
        self._path = path
        self._single = {"key": Client(hashed(single), operator=True)} if single else {}
        self._clock = clock
        self._accounts: dict[str, Account] = {}
        self._changed = self._stamp()
        self._looked = clock()
        self._clients = self._single | (read_keys(path) if path is not None else {})

    def __len__(self) -> int:
        """How many keys there are."""
        return len(self._clients)

    def client_of(self, key: str) -> str | None:
        """The client's name by its key; the time that it takes does not depend on the others."""
        self._look()
        digest = hashed(key)
        found = None
        for name, client in self._clients.items():
            if hmac.compare_digest(client.sha256, digest):
                found = name
        return found

    def weight_of(self, name: str) -> float:
        """A client's share of a server that is full."""
        client = self._clients.get(name)
        return 1.0 if client is None or client.weight is None else client.weight

    def is_operator(self, name: str) -> bool:
        """Whether a client may look at everybody's requests."""
        return name in self._clients and self._clients[name].operator

    def account_of(self, name: str | None) -> Account | None:
        """What a client has used; None without a client, and for one without limits."""
        client = self._clients.get(name or "")
        if name is None or client is None or client.limits == Limits():
            return None
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = Account(client.limits, self._clock)
        elif account.limits != client.limits:
            account.change(client.limits)
        return account

    def _stamp(self) -> tuple[int, ...] | None:
        try:
            status = self._path.stat() if self._path is not None else None
        except OSError:
            return None
        return None if status is None else (status.st_mtime_ns, status.st_size, status.st_ino)

    def _look(self) -> None:
        now = self._clock()
        if self._path is None or now - self._looked < LOOKED_AT:
            return
        self._looked = now
        stamp = self._stamp()
        if stamp == self._changed:
            return
        self._changed = stamp
        try:
            self._clients = self._single | read_keys(self._path)
            log.info("The keys in %s were read again.", self._path)
        except InputError as error:
            log.error("%s The keys that were there before are kept.", error)


class Keyed:
    """Serves clients that have a key.

    Args:
        app: where their requests go.
        keys: the keys.
        free: paths that need none; a path that ends in / is all below it.
    """

    def __init__(self, app: App, keys: Keys, free: Collection[str] = OPEN) -> None:
        self._app = app
        self._keys = keys
        self._free = frozenset(free)
        self._below = tuple(path for path in free if path.endswith("/"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request (ASGI)."""
        path = scope.get("path", "")
        if scope["type"] != "http" or path in self._free or path.startswith(self._below):
            await self._app(scope, receive, send)
            return
        given = _given(header(scope, b"authorization") or b"") or (header(scope, b"x-api-key") or b"").decode("latin-1")
        client = self._keys.client_of(given) if given else None
        paged = path == PAGE or path.startswith(f"{PAGE}/")
        if client is None:
            message = "This key is not known here." if given else "Send a key as `Authorization: Bearer KEY`."
            code = "invalid_api_key"
        elif (paged or path == METRICS) and not self._keys.is_operator(client):
            message = (
                "This shows all clients' requests and takes an operator's key: `tpo key NAME --operator` makes one."
            )
            code = "operator_key_required"
        else:
            info = request_info(scope)
            info.client, info.weight = client, self._keys.weight_of(client)
            await self._app(scope, receive, send)
            return
        # 401 for both, so that a browser prompts for another key; browsers know only Basic.
        headers = [(b"www-authenticate", _BROWSER if paged else b"Bearer")]
        await refuse(send, 401, message, code=code, headers=headers)


def _given(authorization: bytes) -> str:
    """The key of an Authorization header; with Basic it is the password, whatever the name."""
    scheme, _, rest = authorization.decode("latin-1").partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":
        with suppress(ValueError):
            return base64.b64decode(rest.strip(), validate=True).decode("utf-8").partition(":")[2]
    return ""


def hashed(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def read_keys(path: Path) -> dict[str, Client]:
    """The clients of a key file, by name.

    Raises:
        InputError: it cannot be read, or a table in it is wrong.
    """
    try:
        if os.name == "posix" and path.stat().st_mode & 0o022:
            log.warning(
                "%s can be written by other users of this machine, who could add keys: chmod 600 %s", path, path
            )
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"The key file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"The key file {path} is not TOML: {error}.") from error
    return {name: _client(path, name, table) for name, table in tables.items()}


def _client(path: Path, name: str, table: Any) -> Client:
    where = f"The key file {path}, [{name}]"
    try:
        client = msgspec.convert(table, Client)
    except msgspec.ValidationError as error:
        raise InputError(f"{where}: {error}.") from error
    if not re.fullmatch(r"[0-9a-f]{64}", client.sha256):
        raise InputError(f"{where}: sha256 is not a hash of a key; `tpo key {name}` makes one.")
    if any(value is not None and value < 1 for value in msgspec.structs.astuple(client.limits)):
        raise InputError(f"{where}: a limit is at least 1; leave out what is not limited.")
    if client.weight is not None and not 0.01 <= client.weight <= 100:
        raise InputError(f"{where}: a weight goes from 0.01 to 100.")
    return client
