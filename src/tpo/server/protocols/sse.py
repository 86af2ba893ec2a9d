"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

DONE = b"data: [DONE]\n\n"
# A comment, which clients skip: it shows proxies and clients that the connection is alive.
HEARTBEAT = b": still at it\n\n"


def data(value: Mapping[str, Any]) -> bytes:
    """An event without a name."""
    return b"data: %s\n\n" % msgspec.json.encode(value)


def named(events: Iterable[Mapping[str, Any]]) -> bytes:
    """Events that are named by their `type`."""
    return b"".join(b"event: %s\ndata: %s\n\n" % (e["type"].encode(), msgspec.json.encode(e)) for e in events)
