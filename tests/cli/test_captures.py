"""The terminal at 40, 80 and 120 columns: what it shows of a fixed run is kept in `captures/`.

`WRITE_CAPTURES=1 pytest tests/cli/test_captures.py` writes the files anew; look at the difference before it is kept.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType

from tpo.cli.live import LiveView
from tpo.cli.progress import progress_line, progress_picture
from tpo.cli.show import history_parts
from tpo.cli.summary import summary_table
from tpo.engine.events import Event, Retrying, TextGrew
from tpo.engine.records import (
    Called,
    Ended,
    Plan,
    Prompted,
    Record,
    Replied,
    Sampled,
    SamplingSettings,
    Scored,
    Started,
)
from tpo.engine.result import RoleUsage, result_of
from tpo.models.protocol import Usage
from tpo.prompts import Role
from tpo.runs.history import QueryHistory
from tpo.runs.progress import RunProgress
from tpo.runs.summary import RunSummary, StepSummary
from tpo.stats import Estimate

CAPTURES = Path(__file__).parent / "captures"
WIDTHS = (40, 80, 120)
HEIGHT = 24
QUESTION = "How do I oil a wooden table?"
ANSWERS = [
    "Sand it, wipe it, and rub in thin coats of linseed oil.",
    "Oil it.",
    "先用砂纸打磨桌面,然后擦干净,最后薄薄地涂上一层亚麻油 \x1b[2J and let it dry for a day before the next coat.",
]
CRITIQUE = (
    "The chosen answer names the steps and the oil, while the rejected one gives no step at all.\n"
    "Neither says how long a coat dries, nor that rags soaked in linseed oil may catch fire by themselves."
)
BETTER = "Sand along the grain, wipe off the dust, rub in a thin coat of linseed oil, wait a day, and repeat twice."
MODELS: dict[Role, str] = {"policy": "org/model-7B @ http://localhost:8000/v1", "critic": "c", "editor": "e"}
PLAN = Plan([{"role": "user", "content": QUESTION}], "tpo", 3, 1, SamplingSettings(), "default", MODELS, "surface")


def drawn(turn: int, step: int, index: int, text: str, reward: float) -> list[Record]:
    id = f"{step}.{index}"
    return [
        Sampled(turn, 0, index, step, id, text, "stop", len(text.split())),
        Scored(turn, 0, index, id, reward),
    ]


def prompted(turn: int, step: int, name: str, width: int | None = None) -> Prompted:
    roles: dict[str, Role] = {"answer": "policy", "update": "editor"}
    chosen, rejected = ("0.2", "0.1") if step else (None, None)
    messages = [{"role": "user", "content": f"{name}?"}]
    return Prompted(turn, 0, step, name, roles.get(name, "critic"), messages, chosen, rejected, width)


def called(turn: int, role: str, tokens: int) -> Called:
    return Called(turn, 0, role, float(turn), 1.5, Usage(prompt_tokens=40, completion_tokens=tokens))


BEGINNING: list[Event] = [
    Started(PLAN, "1", "2026-01-01T00:00:00Z"),
    prompted(0, 0, "answer", 3),
    TextGrew(0, 0, "answer", 0, "Sand it, wipe it, "),
    TextGrew(0, 0, "answer", 1, "Oil"),
]
CRITICISED: list[Event] = [
    *(record for n, text in enumerate(ANSWERS) for record in drawn(0, 0, n, text, 0.25 * (n + 1))),
    called(0, "policy", 64),
    prompted(1, 1, "loss"),
    *(TextGrew(1, 0, "loss", 0, f"{word} ") for word in CRITIQUE.split(" ")),
    Retrying("critic", "http://localhost:8000/v1 answers 503: the model is overloaded.", 2.0),
]
REWRITTEN: list[Event] = [
    Replied(1, 0, 1, "loss", CRITIQUE, tokens=50),
    called(1, "critic", 50),
    prompted(2, 1, "gradient"),
    Replied(2, 0, 1, "gradient", "Say how long a coat dries.", tokens=7),
    called(2, "critic", 7),
    prompted(3, 1, "update", 3),
    *drawn(3, 1, 0, BETTER, 0.91),
    *drawn(3, 1, 1, "Oil it twice.", 0.3),
    Sampled(3, 0, 2, 1, "1.2", "", "error", 0, error="the reply is empty"),
    called(3, "editor", 40),
    Ended("depth", "1.0", 12.5),
]
STAGES = {
    "beginning": BEGINNING,
    "critique": [*BEGINNING, *CRITICISED],
    "end": [*BEGINNING, *CRITICISED, *REWRITTEN],
}


def shown(width: int, picture: Callable[[Console], RenderableType], *, live: bool = True) -> str:
    """What a terminal without colours shows, line by line."""
    screen = io.StringIO()
    # Like the console of stderr, and unlike that of stdout, it leaves wrapping to the terminal.
    console = Console(
        file=screen, force_terminal=True, color_system=None, width=width, height=HEIGHT, highlight=False, soft_wrap=live
    )
    console.print(picture(console))
    return "".join(f"{line.rstrip()}\n" for line in screen.getvalue().splitlines())


def held_against(name: str, width: int, text: str) -> None:
    """A capture is what it was, and no line is wider than the terminal."""
    assert max(map(cell_len, text.splitlines())) <= width, text
    file = CAPTURES / f"{name}-{width}.txt"
    if os.environ.get("WRITE_CAPTURES"):
        file.write_text(text, "utf-8")
    assert text == file.read_text("utf-8")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("stage", STAGES)
def test_the_live_view(stage: str, width: int) -> None:
    def picture(console: Console) -> RenderableType:
        times = iter([0.0])
        view = LiveView(console, clock=lambda: next(times, 4.0))
        for event in STAGES[stage]:
            view.listen(event)
        return view.picture()

    held_against(stage, width, shown(width, picture))


@pytest.mark.parametrize("width", [40, 47, 60, 79, 100, 200])
@pytest.mark.parametrize("height", [12, 24, 50])
def test_the_live_view_fits_whatever_the_size(width: int, height: int) -> None:
    """With 40 answers the picture is no higher than the terminal, and shows the best answer, critique and counts."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, color_system=None, width=width, height=height)
    view = LiveView(console, clock=lambda: 1.0)
    for event in BEGINNING:
        view.listen(event)
    for index in range(40):
        for record in drawn(0, 0, index, f"answer {index} " * 50, index / 100):
            view.listen(record)
    for event in CRITICISED[-3:]:
        view.listen(event)
    console.print(view.picture())
    lines = screen.getvalue().splitlines()
    assert len(lines) <= height
    assert all(cell_len(line) <= width for line in lines)
    text = "\n".join(lines)
    for words in ("0.39 ", "* 0.390", "tokens/s", "loss", "themselves"):
        assert words in text, words
    assert "more" in text or height == 50


def test_an_update_is_shown_without_its_tag_while_it_is_written() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, color_system=None, width=80, height=HEIGHT)
    view = LiveView(console, clock=lambda: 1.0)
    for event in (prompted(3, 1, "update", 3), TextGrew(3, 0, "update", 0, "<improved_answer>\nSand it")):
        view.listen(event)
    console.print(view.picture())
    assert "Sand it" in screen.getvalue() and "improved" not in screen.getvalue()


def run_progress(done: int) -> tuple[RunProgress, str]:
    times = iter([0.0])
    progress = RunProgress(200, clock=lambda: next(times, 4.0))
    progress.take(Started(PLAN, "1", ""))
    progress.done = done
    for _ in range(8):
        progress.opened()
    for _ in range(4):
        progress.take(called(0, "policy", 100))
        progress.take(prompted(3, 1, "update", 3))
    return progress, progress_line(progress, 32, 64)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_progress_of_a_run(width: int) -> None:
    progress, line = run_progress(50)
    held_against("progress", width, shown(width, lambda console: progress_picture(progress, line, width, 0.0)))


def test_a_run_estimates_from_what_is_measured() -> None:
    _, line = run_progress(0)
    assert line == "0/200 queries, 8 open, 32/64 live, 400 tokens, 100 tokens/s, about 6 min 36 s left"
    assert RunProgress(3).left is None and RunProgress(3).tokens_per_second is None
    streamed = RunProgress(3)
    streamed.take(TextGrew(0, 0, "answer", 0, "Oil"))
    assert streamed.tokens == 1
    streamed.take(called(0, "policy", 5))
    assert streamed.tokens == 5


def estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value, None, low, high, 990)


USAGE = {
    "policy": RoleUsage(3000, 12, 1_234_567, 100_000, 2_345_678, 1234.5, 100.2),
    "critic": RoleUsage(4000, 0, 4_234_567, 3_100_000, 845_678, 934.5, 80.0),
    "reward": RoleUsage(800, 0, 0, 0, 0, 12.0, 0.0),
}
SUMMARY = RunSummary(
    total=1000,
    done=990,
    failed=7,
    left=3,
    bad_rows=2,
    first=estimate(0.512, 0.498, 0.526),
    reward=estimate(0.844, 0.835, 0.853),
    improved=estimate(0.912, 0.893, 0.928),
    steps=[
        StepSummary(0, 990, estimate(0.7, 0.69, 0.71), estimate(0.51, 0.5, 0.52), None),
        StepSummary(1, 990, estimate(0.8, 0.79, 0.81), estimate(0.7, 0.69, 0.71), estimate(0.9, 0.875, 0.925)),
        StepSummary(2, 988, estimate(-10.844, -10.9, -10.7), None, estimate(1.0, 0.996, 1.0)),
    ],
    usage=USAGE,
    cached_share=0.58,
    calls=7800,
    retries=12,
    seconds=5025.0,
    query_seconds=2000.0,
    time={"policy": 0.5, "critic": 0.4, "reward": 0.1},
    queries_per_second=0.2,
    tokens_per_second=635.0,
    cost=1.2345,
    stops={"depth": 990},
    errors={"http://localhost:8000/v1 answers 400: the context has 8192 tokens, the request 9000.": 7},
)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_summary_of_a_run(width: int) -> None:
    held_against(
        "summary", width, shown(width, lambda console: summary_table(SUMMARY, Path("experiments/answers")), live=False)
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_a_query(width: int) -> None:
    """The answer comes first, and what belongs together is indented."""
    records = [event for event in STAGES["end"] if not isinstance(event, TextGrew | Retrying)]
    history = QueryHistory("q1", "k", records, result_of(records), None)
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, color_system=None, width=width, highlight=False)
    for part in history_parts(history, prompts=True):
        part.print(console)
    text = "".join(f"{line.rstrip()}\n" for line in screen.getvalue().splitlines())
    held_against("show", width, text)
    lines = text.splitlines()
    assert lines[3] == "answer 1.0, reward 0.91"
    assert lines[4].startswith("  Sand along the grain")
