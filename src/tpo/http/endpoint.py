"""An endpoint: a URL, its key, the proxy in front of it, and what keeps secrets out of every text."""

from __future__ import annotations

import base64
import os
from typing import NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from tpo.errors import InputError
from tpo.http.redaction import Secrets, without_passwords


class Proxy(NamedTuple):
    """A proxy.

    Attributes:
        url: its address, with user and password where it has them.
        shown: its address without them.
        password: the password; empty for none.
    """

    url: str
    shown: str
    password: str


def proxy_for(scheme: str, host: str) -> Proxy | None:
    """The proxy for requests to a host; None where they go to it directly.

    Args:
        scheme: http or https.
        host: the host, which NO_PROXY may name.

    Raises:
        InputError: the environment names something that is no proxy for HTTP; the message has the variable's name.
    """
    found = getproxies()
    kind = next((kind for kind in (scheme, "all") if found.get(kind)), None)
    if kind is None or proxy_bypass(host):
        return None
    url = found[kind].strip()
    where, shown = _variable(kind), without_passwords(url)
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise InputError(f"{where} is {shown!r}, which is not a URL: {error}.") from error
    if "://" not in url:
        raise InputError(f"{where} is {shown!r}, which has no scheme: write http://{shown}.")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(
            f"{where} is {shown!r}, and tpo uses http and https proxies only: correct it, or name {host} in NO_PROXY."
        )
    netloc = parts.netloc.rpartition("@")[2]
    return Proxy(url, urlunsplit((parts.scheme, netloc, "", "", "")), parts.password or "")


def _variable(kind: str) -> str:
    names = (f"{kind}_proxy", f"{kind}_proxy".upper())
    return next((name for name in names if os.environ.get(name)), "The system's proxy setting")


ANY_KEY = "TPO_API_KEY"
OPENAI_KEY = "OPENAI_API_KEY"
OPENAI_HOST = "api.openai.com"


class Endpoint:
    """Where a role's requests go.

    Args:
        url: an http(s) URL; without a path, `/v1` is understood.
        role: policy, critic, editor, reward or judge: `TPO_POLICY_API_KEY` and so on come first, then `TPO_API_KEY`,
            and for OpenAI itself `OPENAI_API_KEY`.
        key: the key, where it does not come from the environment.
        proxied: whether the environment's proxies apply.

    Attributes:
        host: the host.
        shown: the URL without secrets.
        exact: the URL as it was given, query included, without user and password.
        key_variable: the environment variable that holds the key, or would hold it.
        headers: the headers that carry the key.
        secrets: what must not be written down.

    Raises:
        InputError: the URL is none, or no header can carry the key.
    """

    def __init__(self, url: str, role: str, key: str | None = None, *, proxied: bool = True) -> None:
        safe = without_passwords(url)
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise InputError(f"{safe!r} is not a URL: {error}.") from error
        if parts.scheme not in ("http", "https") or not host:
            raise InputError(f"{safe!r} is not an http(s) URL: give something like http://localhost:8000/v1.")
        path = parts.path.rstrip("/") or "/v1"
        where = f"[{host}]" if ":" in host else host
        where = f"{where}:{port}" if port else where
        self.host = host
        self.shown = urlunsplit((parts.scheme, where, path, "", ""))
        self.exact = urlunsplit((parts.scheme, where, parts.path, parts.query, ""))
        self._scheme = parts.scheme
        self._root = urlunsplit((parts.scheme, where, path.removesuffix("/v1"), "", ""))
        # A gateway may want one, such as Azure's api-version. It may hold a key, so that no message shows it.
        self._query = f"?{parts.query}" if parts.query else ""
        self._proxied = proxied
        # OpenAI's own key goes to OpenAI alone: no other server may see it.
        variables = [f"TPO_{role.upper()}_API_KEY", ANY_KEY, *([OPENAI_KEY] if host == OPENAI_HOST else [])]
        self.key_variable = next((name for name in variables if os.environ.get(name)), variables[-1])
        key = (key or os.environ.get(self.key_variable, "")).strip()
        if not (key.isascii() and key.isprintable()):
            raise InputError(f"The key in {self.key_variable} holds characters that no HTTP header can carry.")
        user, password = unquote(parts.username or ""), parts.password or ""
        self.headers: dict[str, str] = {}
        if key:
            self.headers["Authorization"] = f"Bearer {key}"
        elif user:
            pair = base64.b64encode(f"{user}:{unquote(password)}".encode()).decode()
            self.headers["Authorization"] = f"Basic {pair}"
        self.secrets = Secrets([password or user, key], user or None)

    def at(self, path: str) -> str:
        """The address of a path of the API, with the URL's query; not for messages."""
        return f"{self.shown}/{path}{self._query}"

    def beside(self, path: str) -> str:
        """The address of one of the server's own pages, which stand beside the API."""
        return f"{self._root}/{path}"

    @property
    def proxy(self) -> Proxy | None:
        """The proxy that requests go through.

        Raises:
            InputError: the environment names something that is no proxy.
        """
        return proxy_for(self._scheme, self.host) if self._proxied else None

    @property
    def encrypted(self) -> bool:
        """Whether connections are encrypted."""
        return self._scheme == "https"

    def redact(self, text: str) -> str:
        """An error message or a name without this endpoint's secrets."""
        return without_passwords(self.secrets.out_of(text))
