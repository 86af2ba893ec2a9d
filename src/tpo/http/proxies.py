"""Which proxy a request goes through, by the environment's variables (or the system's settings)."""

from __future__ import annotations

import os
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from tpo.errors import InputError
from tpo.http.redaction import without_passwords


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
        raise InputError(f"{where} is {shown!r}, which is no URL: {error}.") from error
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
