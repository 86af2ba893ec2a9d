"""The endpoints for runs: which there are, what one came to, and its queries page by page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tpo.errors import InputError, TPOError
from tpo.runs.answers import Answer
from tpo.runs.status import outline
from tpo.view.answering import number, one_of, said, text, whole
from tpo.view.columns import Columns, Integers
from tpo.view.figures import gain_and_length, histogram
from tpo.view.index import RunIndex, ordered
from tpo.view.sources import Sources

SIZES = 200
EXTREMES = 5
PREVIEW = 280


def run_routes() -> list[Route]:
    """Their addresses."""
    return [
        Route("/api/sources", _sources),
        Route("/api/run", _run),
        Route("/api/queries", _queries),
        Route("/api/questions", _questions),
    ]


def _sources(request: Request) -> Response:
    """The runs and traces that there are; a damaged run is listed with what is wrong."""
    sources: Sources = request.app.state.sources
    runs = []
    for name in sources.runs():
        try:
            runs.append(outline(sources.run(name).standing()) | {"name": name})
        except TPOError as error:  # one damaged run does not hide the others
            runs.append({"name": name, "error": str(error)})
    for run in runs:
        run.pop("directory", None)
    runs.sort(key=lambda run: str(run.get("began", "")), reverse=True)
    return said({"runs": runs, "traces": list(sources.traces())})


def _run(request: Request) -> Response:
    """What a run is and came to, and what is drawn of it."""
    index = run_of(request)
    over = one_of(request, "over", "first", "best")
    found = index.standing()
    columns = index.columns()
    gain = columns.gain(over)
    known = np.flatnonzero(np.isfinite(gain))
    order = ordered(columns, known, lambda c: c.gain(over), down=True)
    identity = found.identity
    return said(
        {
            "name": text(request, "run"),
            "state": str(found.state),
            "counted": found.counted,
            "data": identity.data,
            "recipe": identity.recipe,
            "endpoints": identity.endpoints,
            "version": identity.version,
            "began": identity.began,
            "summary": msgspec.to_builtins(found.summary),
            "gain": histogram(gain),
            "gained": float((gain[known] > 0).mean()) if len(known) else None,
            "length": gain_and_length(columns, gain),
            "best": brief(index, columns, order[:EXTREMES], over),
            "worst": brief(index, columns, order[::-1][:EXTREMES], over),
        }
    )


SORTS: dict[str, Callable[[Columns, str], np.ndarray]] = {
    "row": lambda columns, over: columns.row,
    "gain": lambda columns, over: columns.gain(over),
    "reward": lambda columns, over: columns.reward,
    "first": lambda columns, over: columns.first,
    "length": lambda columns, over: columns.length - columns.first_length,
    "tokens": lambda columns, over: columns.spent,
    "seconds": lambda columns, over: columns.seconds,
}


def _queries(request: Request) -> Response:
    """A page of a run's queries: filtered, searched, sorted."""
    index = run_of(request)
    over = one_of(request, "over", "first", "best")
    sort = one_of(request, "sort", *SORTS)
    down = one_of(request, "order", "up", "down") == "down"
    size = whole(request, "size", 50, 1, SIZES)
    page = whole(request, "page", 1, 1, 10**9)
    # First: what comes in while the words are looked for is not among the columns yet.
    words = request.query_params.get("search", "").strip()
    hits = index.search(words) if words else None
    columns = index.columns()
    numbers = np.arange(len(columns.at)) if hits is None else hits[hits < len(columns.at)]
    numbers = numbers[_shown(request, columns, over)[numbers]]
    numbers = ordered(columns, numbers, lambda c: SORTS[sort](c, over), down=down)
    shown = numbers[(page - 1) * size : page * size]
    return said(
        {
            "total": len(columns.at),
            "matched": len(numbers),
            "page": page,
            "size": size,
            "rows": brief(index, columns, shown, over),
        }
    )


def _shown(request: Request, columns: Columns, over: str) -> np.ndarray:
    """Which queries the filters let through."""
    show = one_of(request, "show", "all", "improved", "same", "worse", "failed")
    low, high = number(request, "low"), number(request, "high")
    gain = columns.gain(over)
    shown: np.ndarray = {
        "all": np.ones(len(gain), dtype=bool),
        "improved": gain > 0,
        "same": gain == 0,
        "worse": gain < 0,
        "failed": columns.failed == 1,
    }[show]
    if low is not None:
        shown &= gain >= low
    if high is not None:
        shown &= gain < high
    return shown


def _questions(request: Request) -> Response:
    """What was asked, for some of the queries. Apart from them, since the journal may take a while to read at first."""
    index = run_of(request)
    ids = request.query_params.getlist("id")
    if len(ids) > SIZES:
        raise InputError(f"{len(ids)} questions are asked for; at most {SIZES} at a time.")
    answers = [answer for id in ids if (answer := index.answer(id)) is not None]
    found = index.questions(answers)
    return said({answer.id: preview(question) for answer, question in zip(answers, found, strict=True)})


def run_of(request: Request, parameter: str = "run") -> RunIndex:
    """The run that a request names.

    Raises:
        InputError: it names none, or one that is not there.
    """
    sources: Sources = request.app.state.sources
    return sources.run(text(request, parameter))


def brief(index: RunIndex, columns: Columns, numbers: Integers, over: str) -> list[dict[str, Any]]:
    """Some queries, in a line each."""
    answers = index.answers(columns.at[numbers].tolist())
    gain = columns.gain(over)
    return [
        line_of(answer) | {"gain": finite(gain[number]), "spent": int(columns.spent[number])}
        for answer, number in zip(answers, numbers.tolist(), strict=True)
    ]


def line_of(answer: Answer) -> dict[str, Any]:
    """A query in a line."""
    first = answer.first
    return {
        "id": answer.id,
        "row": answer.row,
        "answer": preview(answer.answer),
        "reward": answer.reward,
        "first": first.reward if first is not None else None,
        "length": len(answer.answer or ""),
        "first_length": len(first.answer) if first is not None else 0,
        "best": [step.best for step in answer.steps],
        "seconds": answer.seconds,
        "stop": answer.stop,
        "error": answer.error,
    }


def finite(value: float) -> float | None:
    """A number as JSON has it."""
    return round(float(value), 6) if np.isfinite(value) else None


def preview(long: str | None) -> str | None:
    """The beginning of a text, on one line."""
    if long is None:
        return None
    flat = " ".join(long[: 2 * PREVIEW].split())
    return flat if len(flat) <= PREVIEW else f"{flat[: PREVIEW - 1]}…"
