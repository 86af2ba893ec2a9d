"""What a user sees during a run."""

from __future__ import annotations

import io

from rich.console import Console

from engine.kit import drive
from fakes import FakeModel, FakeReward, numbered, said
from tpo.cli.live import LineView, LiveView, SilentView, view_of
from tpo.engine.events import Event
from tpo.errors import ModelError, ModelUnavailable
from tpo.models.protocol import Request


def replies(request: Request, index: int) -> str | ModelError:
    """Replies with a critique that holds markup, and one call that fails at first."""
    if "Explain in two or three" in said(request):
        return "It names [bold]no cloth[/bold] and\nstops too soon."
    if "short instructions" in said(request):
        return "1. Name a cloth."
    return numbered_answers(request, index)


numbered_answers = numbered("[red]answer")


async def events_of_a_run() -> list[Event]:
    events: list[Event] = []
    await drive(FakeModel(replies), FakeReward(lambda t: float(len(t))), width=2, depth=1, events=events)
    return events


async def test_the_live_view_shows_candidates_rewards_critique_and_speed() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, height=60)
    view = view_of(console, quiet=False)
    assert isinstance(view, LiveView)
    with view:
        for event in await events_of_a_run():
            view.listen(event)
    shown = screen.getvalue()
    for words in ("tpo N=2 D=1", "[red]answer", "tokens/s", "ended: depth", " with reward ", "best", "Name a cloth."):
        assert words in shown, words


async def test_plain_lines_show_the_same_elsewhere() -> None:
    screen = io.StringIO()
    view = view_of(Console(file=screen, force_terminal=False, width=200), quiet=False)
    assert isinstance(view, LineView)
    with view:
        for event in await events_of_a_run():
            view.listen(event)
    shown = screen.getvalue()
    assert "step 0: 0.0 reward 13.000: [red]answer" in shown
    assert "step 1: revision_loss: It names [bold]no cloth[/bold] and stops too soon." in shown
    assert "ended (depth)" in shown


async def test_retries_are_shown() -> None:
    failed = False

    def once(request: Request, index: int) -> str | ModelError:
        nonlocal failed
        if not failed:
            failed = True
            return ModelUnavailable("the server is busy", retry_after=0.01)
        return "fine"

    events: list[Event] = []
    await drive(FakeModel(once), method="sample", events=events)
    for terminal in (True, False):
        screen = io.StringIO()
        with view_of(Console(file=screen, force_terminal=terminal, width=200, height=50), quiet=False) as view:
            for event in events[:-2]:
                view.listen(event)
        assert ("the server is busy" in screen.getvalue()) or terminal


def test_quiet_is_quiet() -> None:
    screen = io.StringIO()
    assert type(view_of(Console(file=screen, force_terminal=True), quiet=True)) is SilentView
    assert screen.getvalue() == ""
