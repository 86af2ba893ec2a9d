"""The endpoint that holds two runs against each other, query by query.

Queries are paired by their rows' ids. Rewards are compared only where both runs were steered by the same reward: what
another reward returns is on another scale.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tpo.stats import Running
from tpo.view.charts import histogram
from tpo.view.columns import Floats
from tpo.view.endpoint import json_response, number, one_of, text, whole
from tpo.view.labels import setting_changes
from tpo.view.run_index import RunIndex, ordered
from tpo.view.run_routes import SIZES, finite, line_of, run_of


def comparison_routes() -> list[Route]:
    """Its addresses."""
    return [Route("/api/compare", _compare), Route("/api/pair", _pair)]


def _compare(request: Request) -> Response:
    """What the second run does better and worse than the first, and a page of the queries that both have."""
    one, other = run_of(request, "run"), run_of(request, "with")
    sort = one_of(request, "sort", "row", "difference", "length")
    down = one_of(request, "order", "up", "down") == "down"
    show = one_of(request, "show", "all", "better", "same", "worse")
    size = whole(request, "size", 50, 1, SIZES)
    page = whole(request, "page", 1, 1, 10**9)
    left, right = one.columns(), other.columns()
    _, here, there = np.intersect1d(left.name, right.name, return_indices=True)
    words = request.query_params.get("search", "").strip()
    both = len(here)
    alike, changes = _alike(one, other)
    difference = _difference(one, other, here, there, alike)
    longer = (right.length[there] - left.length[here]).astype(np.float64)
    shown = {
        "all": np.ones(both, dtype=bool),
        "better": difference > 0,
        "same": difference == 0,
        "worse": difference < 0,
    }[show]
    low, high = number(request, "low"), number(request, "high")
    if low is not None:
        shown &= difference >= low
    if high is not None:
        shown &= difference < high
    if words:
        shown &= np.isin(here, one.search(words)) | np.isin(there, other.search(words))
    by = {"row": left.row[here].astype(np.float64), "difference": difference, "length": longer}[sort]
    numbers = ordered(left._replace(row=left.row[here]), np.flatnonzero(shown), lambda _: by, down=down)
    rows = numbers[(page - 1) * size : page * size]
    pairs = zip(one.answers(left.at[here[rows]].tolist()), other.answers(right.at[there[rows]].tolist()), strict=True)
    return json_response(
        {
            "runs": [text(request, "run"), text(request, "with")],
            "alike": alike,
            "changes": changes,
            "only": [len(left.at) - both, len(right.at) - both],
            "both": both,
            "compared": _totals(difference, longer),
            "difference": histogram(difference),
            "matched": len(numbers),
            "page": page,
            "size": size,
            "rows": [
                {
                    "id": mine.id,
                    "one": line_of(mine),
                    "other": line_of(yours),
                    "difference": finite(difference[place]),
                    "longer": int(longer[place]),
                }
                for (mine, yours), place in zip(pairs, rows.tolist(), strict=True)
            ],
        }
    )


def _alike(one: RunIndex, other: RunIndex) -> tuple[bool, list[str]]:
    """Whether the rewards of two runs may be compared, and what is different between the runs, in words."""
    first, second = one.status().identity, other.status().identity
    changes = setting_changes(first.recipe, second.recipe)
    if first.data != second.data:
        changes.insert(0, f"the data is {first.data} in the first and {second.data} in the second")
    return first.recipe.get("reward") == second.recipe.get("reward"), changes


def _difference(one: RunIndex, other: RunIndex, here: np.ndarray, there: np.ndarray, alike: bool) -> Floats:
    left, right = one.columns(), other.columns()
    difference: Floats = right.reward[there] - left.reward[here]
    failed = (left.failed[here] == 1) | (right.failed[there] == 1)
    return np.where(failed | (not alike), np.nan, difference)


def _totals(difference: Floats, longer: Floats) -> dict[str, Any] | None:
    answered = np.isfinite(difference)  # by both, with a reward
    known = difference[answered]
    if not len(known):
        return None
    mean, wins = Running(), Running()
    for value in known.tolist():
        mean.add(value)
        wins.add(0.5 if value == 0 else float(value > 0))
    return {
        "queries": len(known),
        "better": int((known > 0).sum()),
        "same": int((known == 0).sum()),
        "worse": int((known < 0).sum()),
        "mean": mean.mean(),
        "wins": wins.share(),
        "longer": round(float(longer[answered].mean()), 1),
    }


def _pair(request: Request) -> Response:
    """The whole answers of both runs to one query."""
    id = text(request, "id")
    one, other = run_of(request, "run"), run_of(request, "with")
    answers = [one.answer(id), other.answer(id)]
    questions = [
        question
        for index, answer in zip((one, other), answers, strict=True)
        if answer is not None
        for question in index.questions([answer])
    ]
    return json_response(
        {
            "id": id,
            "question": next(filter(None, questions), None),
            "answers": [
                None
                if answer is None
                else {"text": answer.answer, "reward": answer.reward, "error": answer.error, "stop": answer.stop}
                for answer in answers
            ],
        }
    )
