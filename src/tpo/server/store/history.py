"""What a request continues: an earlier response (`previous_response_id`), and items of responses (`item_reference`)."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from tpo.errors import JournalError
from tpo.server.bodies import BYTES
from tpo.server.errors import ApiError, explained, refused
from tpo.server.store.folder import ResponseStore, StoredRequest

log = logging.getLogger("tpo.server")

# An item of a response carries the response's key in its id.
_ITEM = re.compile(r"(?:msg|fc)_([0-9a-f]{32})\d+")


class History:
    """The stored responses that one request refers to. Each is read once, and all together are bounded like a body.

    Args:
        store: where they are.
        client: who sent the request; responses of other clients do not exist for it.
    """

    def __init__(self, store: ResponseStore, client: str | None) -> None:
        self._store = store
        self._client = client
        self._read: dict[str, tuple[StoredRequest, dict[str, Any]]] = {}
        self._bytes = 0

    def continued(self, body: dict[str, Any]) -> dict[str, Any]:
        """A request with all of its input: what the previous response was made from, that response, and what is new.

        Args:
            body: the request.

        Raises:
            BadRequest: the previous response is not there, or not complete, or the whole is too large.
            ApiError: a stored response is damaged.
        """
        given = body.get("input")
        items = [{"type": "message", "role": "user", "content": given}] if isinstance(given, str) else given
        if not isinstance(items, list):
            return body
        items = [self._referred(item) for item in items]
        previous = body.get("previous_response_id")
        if previous is None:
            return {**body, "input": items}
        if not isinstance(previous, str):
            raise refused("previous_response_id", "is not a string")
        try:
            request, response = self._response(previous)
        except ApiError as error:
            if error.status != 404:
                raise
            raise refused(
                "previous_response_id", f"names no response: {error}", "previous_response_not_found"
            ) from None
        if response["status"] not in ("completed", "incomplete", "cancelled"):
            raise refused("previous_response_id", f"names a response that is {response['status']}")
        return {**body, "input": [*request.body["input"], *response["output"], *items]}

    def _referred(self, item: Any) -> Any:
        """The item that a reference names; what is no reference to a stored item stays as it is."""
        named = item.get("id") if isinstance(item, Mapping) and item.get("type") == "item_reference" else None
        found = _ITEM.fullmatch(named) if isinstance(named, str) else None
        if found is None:
            return item
        try:
            _, response = self._response(f"resp_{found[1]}")
        except ApiError:
            return item
        return next((output for output in response["output"] if output["id"] == named), item)

    def _response(self, id: str) -> tuple[StoredRequest, dict[str, Any]]:
        if id not in self._read:
            request = self._store.find(id, self._client)
            self._bytes += self._store.size(id)
            if self._bytes > BYTES:
                raise refused("input", f"refers to stored responses of more than {BYTES} bytes: send what matters")
            try:
                renderer, _ = self._store.rendered(request, self._store.entries(id))
            except JournalError as error:
                self._store.find(id, self._client)  # deleted meanwhile
                log.error("%s", error)
                raise explained(error) from error
            self._read[id] = request, renderer.response
        return self._read[id]
