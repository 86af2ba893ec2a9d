"""What the stored responses of each key take, and which of them go first where that is too much."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock


class Quota:
    """Counts bytes by key, the oldest responses first. Threads share it.

    Args:
        most: bytes of one key's responses.
        is_open: whether a response is still being made, so that it stays.
    """

    def __init__(self, most: int, is_open: Callable[[str], bool]) -> None:
        self._most = most
        self._is_open = is_open
        self._lock = Lock()
        self._clients: dict[str, str | None] = {}
        self._sizes: dict[str | None, dict[str, int]] = {}
        self._totals: dict[str | None, int] = {}

    def put(self, client: str | None, id: str, size: int) -> list[str]:
        """Count a response, which is the client's newest unless it was counted before.

        Returns:
            The client's oldest responses, without which the others are few enough; never this one.
        """
        with self._lock:
            self._put(client, id, size)
            return self._surplus(client, id)

    def __contains__(self, id: str) -> bool:
        """Whether a response is counted."""
        return id in self._clients

    def client_of(self, id: str) -> str | None:
        """The name of the key to which a response that is counted belongs."""
        return self._clients.get(id)

    def forget(self, id: str) -> None:
        """A response was deleted."""
        with self._lock:
            if id in self._clients:
                client = self._clients.pop(id)
                self._totals[client] -= self._sizes[client].pop(id)
                if not self._sizes[client]:
                    del self._sizes[client], self._totals[client]

    def earlier(self, found: Iterable[tuple[str | None, str, int]]) -> list[str]:
        """Count responses that are older than all others.

        Args:
            found: client, id and bytes of each, the oldest first.

        Returns:
            Responses that are too many, of all clients.
        """
        with self._lock:
            newer = {client: dict(sizes) for client, sizes in self._sizes.items()}
            self._sizes.clear()
            for client, id, size in found:
                if id not in self._clients:
                    self._put(client, id, size)
            for client, sizes in newer.items():
                self._sizes.setdefault(client, {}).update(sizes)
            return [id for client in self._sizes for id in self._surplus(client, None)]

    def _put(self, client: str | None, id: str, size: int) -> None:
        sizes = self._sizes.setdefault(client, {})
        self._clients[id] = client
        self._totals[client] = self._totals.get(client, 0) + size - sizes.get(id, 0)
        sizes[id] = size

    def _surplus(self, client: str | None, kept: str | None) -> list[str]:
        over = self._totals.get(client, 0) - self._most
        surplus = []
        for id, size in self._sizes.get(client, {}).items():
            if over <= 0:
                break
            if id != kept and not self._is_open(id):
                surplus.append(id)
                over -= size
        return surplus
