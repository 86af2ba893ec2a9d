"""Runs whose rewards are known beforehand: an answer is a number, and the number is its reward."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from fakes import FakeModel, FakeReward, said
from runs.kit import by_number, make_run
from tpo.models.protocol import Request

QUERIES = ["Apples?", "Zebras?", "Cherries?", "Dates?", "Eggs?", "Figs?"]


def climbing(seed: int = 0, name: str = "fake-1B") -> FakeModel:
    """A policy whose updated answers are a little better, and wordier, than its first ones."""
    draw = random.Random(seed)

    def answer(request: Request, index: int) -> str:
        better = "BEST" in said(request) or "Improve" in said(request) or len(request.messages) > 1
        value = draw.gauss(1.0 if better else 0.0, 0.5)
        return f"{'more ' * (2 if better else 1)}words {value:.4f}"

    return FakeModel(answer, name=name)


async def synthetic(
    folder: Path, name: str, model: FakeModel | None = None, queries: list[str] | None = None, **options: Any
) -> Path:
    """A run in `folder/name`."""
    place = folder / name
    place.mkdir(parents=True)
    run = await make_run(place, queries or QUERIES, model or climbing(), FakeReward(by_number), **options)
    for file in run.iterdir():
        file.rename(place / file.name)
    run.rmdir()
    return place
