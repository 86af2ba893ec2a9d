"""The endpoints for runs: the list, one run's figures, its queries page by page, one query's story and its export."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tpo.errors import InputError, TPOError
from tpo.runs.answers import Answer
from tpo.runs.status import outline
from tpo.view.charts import gain_and_length, gain_by_step, held_out_gain, histogram, tokens_and_reward
from tpo.view.columns import Columns, Integers
from tpo.view.endpoint import NotFound, json_response, number, one_of, text, whole
from tpo.view.export import exported
from tpo.view.labels import reward_label
from tpo.view.run_index import RunIndex, ordered
from tpo.view.sources import Sources
from tpo.view.story import preview, story_json, trace_json, trace_line

SIZES = 200
EXTREMES = 5
# Bytes of a journal that are read without a click.
READ_AT_ONCE = 64 * 1024 * 1024


def run_routes() -> list[Route]:
    """Their addresses."""
    return [
        Route("/api/sources", _sources),
        Route("/api/run", _run),
        Route("/api/queries", _queries),
        Route("/api/neighbours", _neighbours),
        Route("/api/questions", _questions),
        Route("/api/answers", _answers),
        Route("/api/story", _story),
        Route("/api/export", _export),
    ]


def _sources(request: Request) -> Response:
    """The runs and traces that there are; a damaged run is listed with what is wrong."""
    sources: Sources = request.app.state.sources
    runs = []
    for name in sources.runs():
        try:
            runs.append(outline(sources.run(name).status()) | {"name": name})
        except TPOError as error:  # one damaged run does not hide the others
            runs.append({"name": name, "error": str(error)})
    for run in runs:
        run.pop("directory", None)
        if run.get("reward"):
            run["reward_label"] = reward_label(str(run["reward"]))
    runs.sort(key=lambda run: str(run.get("began", "")), reverse=True)
    return json_response({"runs": runs, "traces": [trace_line(name, path) for name, path in sources.traces().items()]})


def _run(request: Request) -> Response:
    """What a run is and came to, and what is drawn of it."""
    index = run_of(request)
    over = one_of(request, "over", "first", "best")
    found = index.status()
    columns = index.columns()
    gain = columns.gain(over)
    known = np.flatnonzero(np.isfinite(gain))
    order = ordered(columns, known, lambda c: c.gain(over), down=True)
    identity = found.identity
    return json_response(
        {
            "name": text(request, "run"),
            "state": str(found.state),
            "counted": found.counted,
            "data": identity.data,
            "recipe": identity.recipe,
            "asked": identity.named,
            "reward_label": reward_label(str(identity.recipe.get("reward"))) if identity.recipe.get("reward") else None,
            "judge_label": reward_label(str(identity.recipe["judge"])) if identity.recipe.get("judge") else None,
            "endpoints": identity.endpoints,
            "version": identity.version,
            "began": identity.began,
            "summary": msgspec.to_builtins(found.summary),
            "gain": histogram(gain),
            "gained": float((gain[known] > 0).mean()) if len(known) else None,
            "gain_by_step": gain_by_step(columns, over),
            "length": gain_and_length(columns, gain),
            "tokens": tokens_and_reward(columns),
            "held_out": held_out_gain(columns),
            "best": brief(index, columns, order[:EXTREMES], over),
            "worst": brief(index, columns, order[::-1][:EXTREMES], over),
        }
    )


SORTS: dict[str, Callable[[Columns, str], np.ndarray]] = {
    "row": lambda columns, over: columns.row,
    "found": lambda columns, over: np.where(columns.found < 0, np.nan, columns.found),
    "gain": lambda columns, over: columns.gain(over),
    "reward": lambda columns, over: columns.reward,
    "first": lambda columns, over: columns.first,
    "length": lambda columns, over: columns.length - columns.first_length,
    "tokens": lambda columns, over: columns.spent,
    "seconds": lambda columns, over: columns.seconds,
}


class QueryFilter(NamedTuple):
    """The queries that a list shows.

    Attributes:
        columns: the run.
        numbers: which of its queries, in the order of the list.
        over: what gain is measured from.
    """

    columns: Columns
    numbers: Integers
    over: str


def _selection(request: Request, index: RunIndex) -> QueryFilter:
    """Search, filter and sort a run's queries by the parameters of a request."""
    over = one_of(request, "over", "first", "best")
    sort = one_of(request, "sort", *SORTS)
    down = one_of(request, "order", "up", "down") == "down"
    # Searched first: an answer that arrives meanwhile is not among the columns yet.
    words = request.query_params.get("search", "").strip()
    hits = index.search(words) if words else None
    columns = index.columns()
    numbers = np.arange(len(columns.at)) if hits is None else hits[hits < len(columns.at)]
    numbers = numbers[_shown(request, columns, over)[numbers]]
    return QueryFilter(columns, ordered(columns, numbers, lambda c: SORTS[sort](c, over), down=down), over)


def _queries(request: Request) -> Response:
    """A page of a run's queries: filtered, searched, sorted."""
    index = run_of(request)
    size = whole(request, "size", 50, 1, SIZES)
    page = whole(request, "page", 1, 1, 10**9)
    columns, numbers, over = _selection(request, index)
    return json_response(
        {
            "total": len(columns.at),
            "matched": len(numbers),
            "page": page,
            "size": size,
            "rows": brief(index, columns, numbers[(page - 1) * size : page * size], over),
        }
    )


def _neighbours(request: Request) -> Response:
    """The queries before and after one in the list that the request describes."""
    index = run_of(request)
    id = text(request, "id")
    columns, numbers, _ = _selection(request, index)
    number = index.number_of(columns, id)
    places = np.flatnonzero(numbers == number).tolist() if number is not None else []
    place: int | None = places[0] if places else None

    def id_at(place: int) -> str | None:
        if not 0 <= place < len(numbers):
            return None
        return index.answers([int(columns.at[numbers[place]])])[0].id

    return json_response(
        {
            "position": None if place is None else place + 1,
            "matched": len(numbers),
            "before": None if place is None else id_at(place - 1),
            "after": None if place is None else id_at(place + 1),
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
    if "step" in request.query_params:
        shown &= (columns.found == whole(request, "step", 0, 0, 10**6)) & (columns.failed == 0)
    return shown


def _questions(request: Request) -> Response:
    """The questions of some queries. An endpoint of its own, since the journal may take a while to read at first."""
    index = run_of(request)
    ids = request.query_params.getlist("id")
    if len(ids) > SIZES:
        raise InputError(f"{len(ids)} questions are requested; at most {SIZES} at a time.")
    answers = [answer for id in ids if (answer := index.answer(id)) is not None]
    found = index.questions(answers)
    return json_response({answer.id: preview(question) for answer, question in zip(answers, found, strict=True)})


def _answers(request: Request) -> Response:
    """What all answers of a run come to; a large journal is read only where the request has `all`."""
    stats = run_of(request).answer_stats
    left = stats.left
    if left > READ_AT_ONCE and "all" not in request.query_params:
        return json_response({"unread": left})
    return json_response(stats.counted())


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
        "judged": [answer.held_out.first, answer.held_out.answer] if answer.held_out is not None else None,
        "seconds": answer.seconds,
        "stop": answer.stop,
        "error": answer.error,
    }


def finite(value: float) -> float | None:
    """A number as JSON has it."""
    return round(float(value), 6) if np.isfinite(value) else None


# Characters that the suggested name of a file does without, whatever the id holds.
_ODD = re.compile(r"[^A-Za-z0-9._-]+")


def _story(request: Request) -> Response:
    return json_response(_requested_story(request))


def _export(request: Request) -> Response:
    story = _requested_story(request)
    name = _ODD.sub("-", str(story["name"])).strip("-.")[:80] or "story"
    headers = {"Content-Disposition": f'attachment; filename="{name}.html"', "Cache-Control": "no-store"}
    return Response(exported(story), headers=headers, media_type="text/html")


def _requested_story(request: Request) -> dict[str, Any]:
    if "trace" in request.query_params:
        sources: Sources = request.app.state.sources
        name = text(request, "trace")
        return trace_json(name, sources.trace(name))
    index = run_of(request)
    if "row" in request.query_params:
        row = whole(request, "row", 0, 0, 10**12)
        id = index.id_of_row(row)
        if id is None:
            raise NotFound(f"There is no query in row {row} here (yet).")
    else:
        id = text(request, "id")
    return story_json(index.story(id))
