"""The endpoints for what is being answered right now, by a server that the page is mounted in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tpo.candidate import best_reward
from tpo.engine.records import Prompted, Record, Scored, Started
from tpo.messages import question
from tpo.view.endpoint import NotFound, json_response, text
from tpo.view.story import preview, records_json, state_of

# The requests that there are, by id and the oldest first, each with its records so far; a server keeps those that are
# over for as long as it likes.
Live: TypeAlias = Callable[[], Mapping[str, Sequence[Record]]]


def live_routes() -> list[Route]:
    """Their addresses."""
    return [Route("/api/live", _list), Route("/api/live/story", _story)]


# In the event loop, where the server appends to the records: no other thread sees half of a change.
async def _list(request: Request) -> Response:
    return json_response([_line(id, records) for id, records in reversed(_requests(request).items())])


async def _story(request: Request) -> Response:
    id = text(request, "id")
    records = _requests(request).get(id)
    if not records:
        raise NotFound(f"There is no request {id!r} (any more).")
    return json_response(records_json(id, records))


def _requests(request: Request) -> dict[str, Sequence[Record]]:
    live: Live | None = request.app.state.live
    return dict(live()) if live is not None else {}


def _line(id: str, records: Sequence[Record]) -> dict[str, Any]:
    started = records[0] if records and isinstance(records[0], Started) else None
    # By answer: a reward that looks at the whole pool scores an answer again with every turn.
    scores = {record.id: record for record in records if isinstance(record, Scored)}
    return {
        "id": id,
        "question": preview(question(started.plan.query)) if started is not None else None,
        "method": started.plan.method if started is not None else None,
        "at": started.at if started is not None else None,
        "state": state_of(records),
        "step": max((record.step for record in records if isinstance(record, Prompted)), default=None),
        "answers": sum(scored.reward is not None for scored in scores.values()),
        "reward": best_reward(scores.values()),
    }
