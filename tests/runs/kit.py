"""What the tests of runs share: run directories that the real runner made, with models out of a script."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from fakes import FakeModel, FakeReward, numbered
from tpo.models.protocol import Model
from tpo.options import RunOptions
from tpo.rewards.protocol import Reward
from tpo.runs.dataset import Report, Watcher, run_spec
from tpo.runs.progress import RunProgress
from tpo.runs.runner import Runner
from tpo.session.spec import Options, specified

RUN_OPTIONS = (
    "total_budget_tokens",
    "concurrency",
    "fresh",
    "retry_failed",
    "input_order",
    "parquet",
    "skip_bad_rows",
    "patience",
)


def by_number(text: str) -> float:
    """The reward of `answer 7` is 7."""
    return float(text.split()[-1])


class Breaker(Watcher):
    """Breaks a run off when so many queries are over."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._after = after

    def began(self, runner: Runner, fleets: Any, progress: RunProgress) -> None:
        """See `Watcher`."""
        answered = progress.answered

        def count(*arguments: Any, **named: Any) -> None:
            answered(*arguments, **named)
            if progress.done >= self._after:
                runner.stop()

        progress.answered = count  # type: ignore[method-assign]


def rows_of(*queries: str | Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Rows with ids q0, q1, … of questions; a mapping is a row as it is."""
    return [
        {"id": f"q{number}", "prompt": query} if isinstance(query, str) else query
        for number, query in enumerate(queries)
    ]


async def make_run(
    folder: Path,
    rows: Iterable[str | Mapping[str, Any]],
    model: Model | None = None,
    reward: Reward | Callable[..., Any] | None = None,
    watcher: Watcher | None = None,
    **options: Any,
) -> Path:
    """Run the rows, or go on with them, in `folder/run`.

    Args:
        folder: where to.
        rows: questions, or rows as they stand in a file.
        model: who answers, all roles; without it numbered answers.
        reward: what scores them; without it their numbers.
        watcher: looks on.
        options: as `tpo.run_dataset` takes them.

    Returns:
        the run's directory.
    """
    await reported(folder, rows, model, reward, watcher, **options)
    return folder / "run"


async def reported(
    folder: Path,
    rows: Iterable[str | Mapping[str, Any]],
    model: Model | None = None,
    reward: Reward | Callable[..., Any] | None = None,
    watcher: Watcher | None = None,
    **options: Any,
) -> Report:
    """The same, and how it ended."""
    data = folder / "data.jsonl"
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows_of(*rows)), encoding="utf-8")
    how = RunOptions(**{name: options.pop(name) for name in RUN_OPTIONS if name in options})
    asked: Options = {
        "policy": model or FakeModel(numbered()),
        "reward": reward or FakeReward(by_number),
        "check": False,
        "width": 3,
        "depth": 1,
        "seed": 1,
    }
    asked |= options  # type: ignore[typeddict-item]
    return await run_spec(str(data), folder / "run", specified(asked), how, watcher or Watcher())
