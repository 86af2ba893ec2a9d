"""What a user sees while a run goes on: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live as RichLive
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tpo.cli.console import note
from tpo.cli.terminal import safe
from tpo.engine.events import Event, Retrying, TextGrew
from tpo.engine.records import Called, Ended, Prompted, Replied, Sampled, Scored, Started

PREVIEW = 200
CRITIQUE_LINES = 8


class Tally:
    """Counts that both views show."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.exact = 0
        self.streaming = 0

    def take(self, event: Event) -> None:
        """Count what an event says of tokens: chunks while a call runs, its own account when it is over."""
        if isinstance(event, TextGrew):
            self.streaming += 1
        elif isinstance(event, Called):
            self.exact += event.usage.completion_tokens
            self.streaming = 0

    def line(self) -> str:
        """Tokens generated, and how fast."""
        tokens = self.exact + self.streaming
        seconds = max(time.monotonic() - self.began, 1e-3)
        return f"{tokens} tokens, {tokens / seconds:.0f} tokens/s, {seconds:.0f} s"


def one_line(text: str, limit: int = PREVIEW) -> str:
    """The beginning of a text, on one line."""
    flat = " ".join(safe(text[: 4 * limit]).split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1]}…"


def shown_reward(scored: Scored) -> str:
    """A reward in few characters, or that there is none."""
    if scored.reward is None:
        return "error" if scored.error else "–"
    return f"{scored.reward:.3f}"


class Silence:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to take down."""

    def listen(self, event: Event) -> None:
        """Take no notice."""

    def note(self, line: str) -> None:
        """Take no notice."""


class Log(Silence):
    """One plain line for each thing that happened, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tally = Tally()
        self._sampled: dict[str, Sampled] = {}

    def note(self, line: str) -> None:
        """Print what a user should know."""
        note(line)

    def listen(self, event: Event) -> None:
        """Print what an event says."""
        self._tally.take(event)
        match event:
            case Started(plan=plan):
                size = f"width {plan.width}, depth {plan.depth}"
                self._say(f"{plan.method} ({size}) with {plan.models['policy']}, reward {plan.reward or 'none'}")
            case Prompted() if event.width is not None:
                self._say(f"step {event.step}: drawing {event.width}")
            case Sampled():
                self._sampled[event.id] = event
            case Scored():
                sampled = self._sampled.get(event.id)
                text = one_line(event.error or (sampled.text if sampled else ""), 80)
                self._say(f"step {event.id.partition('.')[0]}: {event.id} reward {shown_reward(event)}: {text}")
            case Replied():
                self._say(f"step {event.step}: {event.name}: {one_line(event.text)}")
            case Retrying():
                self._say(f"{event.role}: {event.error} Trying again in {event.wait:.1f} s.")
            case Ended():
                self._say(f"ended ({event.stop}): answer {event.chosen}, {self._tally.line()}")

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False)


class Live(Silence):
    """The run as a screenful that changes in place."""

    def __init__(self, console: Console) -> None:
        self._tally = Tally()
        self._title = "starting"
        self._step = 0
        self._rows: dict[str, tuple[Sampled, Scored | None]] = {}
        self._growing: dict[int, str] = {}
        self._draws = False
        self._best: dict[int, float] = {}
        self._rewards: dict[str, float] = {}
        self._stale = False
        self._writing: tuple[str, str] = ("", "")
        self._note = ""
        # Last: it draws the first picture at once.
        self._live = RichLive(console=console, refresh_per_second=8, get_renderable=self._render)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def note(self, line: str) -> None:
        """Print what a user should know, above the picture."""
        note(line)

    def listen(self, event: Event) -> None:
        """Take an event into the picture; the screen follows at its own pace."""
        self._tally.take(event)
        match event:
            case Started(plan=plan):
                size = f"N={plan.width} D={plan.depth}"
                self._title = f"{plan.method} {size} · {plan.models['policy']} · reward {plan.reward or 'none'}"
            case Prompted():
                self._step = event.step
                self._draws = event.width is not None
                if self._draws:
                    self._stale = True  # the last step's answers are shown until the first new one comes
                else:
                    self._writing = (event.name, "")
            case TextGrew():
                self._grow(event)
            case Sampled():
                self._clear_stale()
                self._growing.pop(event.index, None)
                self._rows[event.id] = (event, None)
            case Scored() if event.id in self._rows:
                self._rows[event.id] = (self._rows[event.id][0], event)
                if event.reward is not None:
                    self._best[self._step] = max(self._best.get(self._step, event.reward), event.reward)
                    self._rewards[event.id] = event.reward
            case Replied():
                self._writing = (event.name, event.text)
            case Retrying():
                self._note = f"{event.role}: {event.error} Trying again in {event.wait:.1f} s."
            case Called(error=None):
                self._note = ""
            case Ended():
                reward = self._rewards.get(event.chosen or "")
                scored = "" if reward is None else f" with reward {reward:.3f}"
                self._note = f"ended: {event.stop}, the answer is {event.chosen}{scored}"

    def _grow(self, event: TextGrew) -> None:
        if self._draws:
            self._clear_stale()
            self._growing[event.index] = self._growing.get(event.index, "") + event.text
        else:
            self._writing = (event.name, self._writing[1] + event.text)

    def _clear_stale(self) -> None:
        if self._stale:
            self._rows, self._growing, self._stale = {}, {}, False

    def _render(self) -> RenderableType:
        best = "  ".join(f"step {step}: {reward:.3f}" for step, reward in self._best.items())
        parts: list[RenderableType] = [Text(self._title, style="bold")]
        waiting = not self._rows and not self._growing
        parts.append(Text("waiting for the first answer", style="dim") if waiting else self._table())
        name, text = self._writing
        if text:
            lines = text.strip().splitlines()[-CRITIQUE_LINES:]
            parts.append(Panel(Text(safe("\n".join(lines))), title=name.replace("_", " "), border_style="cyan"))
        parts.append(Text(f"best  {best}" if best else "", style="green"))
        parts.append(Text(f"step {self._step} · {self._tally.line()}", style="dim"))
        if self._note:
            parts.append(Text(safe(self._note), style="yellow"))
        return Group(*parts)

    def _table(self) -> Table:
        table = Table(box=box.SIMPLE, expand=True, show_edge=False)
        for heading, width in (("id", 7), ("reward", 8), ("tokens", 7)):
            table.add_column(heading, width=width, justify="right")
        table.add_column("answer", no_wrap=True, overflow="ellipsis", ratio=1)
        top = max((s.reward for _, s in self._rows.values() if s and s.reward is not None), default=None)
        for sampled, scored in self._rows.values():
            reward = shown_reward(scored) if scored else "…"
            text = (scored.error if scored and scored.error else None) or one_line(sampled.text)
            best = scored is not None and scored.reward is not None and scored.reward == top
            table.add_row(sampled.id, reward, str(sampled.tokens), Text(text), style="bold green" if best else None)
        for index, text in sorted(self._growing.items()):
            table.add_row(f"{self._step}.{index}", "…", "", Text(one_line(text), style="dim"))
        return table


def view_of(console: Console, quiet: bool) -> Silence:
    """The view that fits where stderr goes."""
    if quiet:
        return Silence()
    return Live(console) if console.is_terminal else Log(console)
