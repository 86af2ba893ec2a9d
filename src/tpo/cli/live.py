"""What a user sees during a search: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live as RichLive
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tpo.candidate import Rank, best_reward, rank
from tpo.cli.console import note
from tpo.cli.terminal import safe
from tpo.engine.events import Event, Retrying, TextGrew
from tpo.engine.records import Called, Ended, Plan, Prompted, Replied, Sampled, Scored, Started

PREVIEW = 200
# Most lines of a critique, and of a long title, error or note.
CRITIQUE_LINES = 8
NOTE_LINES = 3
# Narrower terminals go without the column of tokens; lower ones show fewer answers and shorter texts.
NARROW = 60
FEWEST_ROWS = 1
LOW = 20
# The tag that an update begins with, such as <improved_answer>; names with an underscore are no HTML.
TAG = re.compile(r"^\s*<[a-z]+_[a-z_]+>\s*")


class TokenCount:
    """Completion tokens and seconds of a search.

    Args:
        clock: seconds, from any beginning.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._exact = 0
        # Chunks of the calls that are not over yet, by the place of the call.
        self._streaming: dict[tuple[int, int], int] = {}

    def take(self, event: Event) -> None:
        """Count the chunks of a reply while it is written, and the server's own count once the call is over."""
        if isinstance(event, TextGrew):
            place = event.turn, event.action
            self._streaming[place] = self._streaming.get(place, 0) + 1
        elif isinstance(event, Called) and event.role != "reward":
            self._exact += event.usage.completion_tokens
            self._streaming.pop((event.turn, event.action), None)

    def line(self) -> str:
        """Tokens generated, and how fast."""
        tokens = self._exact + sum(self._streaming.values())
        seconds = max(self._clock() - self._began, 1e-3)
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


class SilentView:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to take down."""

    def listen(self, event: Event) -> None:
        """Ignore an event."""

    def note(self, line: str) -> None:
        """Ignore a note."""


class LineView(SilentView):
    """One plain line for each thing that happened, for logs and pipes.

    Args:
        console: where the lines go.
        clock: seconds, from any beginning.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._tokens = TokenCount(clock)
        self._sampled: dict[str, Sampled] = {}

    def note(self, line: str) -> None:
        """Print a note."""
        note(line)

    def listen(self, event: Event) -> None:
        """Print an event."""
        self._tokens.take(event)
        match event:
            case Started(plan=plan):
                size = f"width {plan.width}, depth {plan.depth}"
                reward = f"{plan.reward or 'none'}{_selection(plan)}"
                self._print(f"{plan.method} ({size}) with {plan.models['policy']}, reward {reward}")
            case Prompted() if event.width is not None:
                self._print(f"step {event.step}: sampling {event.width} answer{'' if event.width == 1 else 's'}")
            case Sampled():
                self._sampled[event.id] = event
            case Scored():
                sampled = self._sampled.get(event.id)
                text = one_line(event.error or (sampled.text if sampled else ""), 80)
                self._print(f"step {event.id.partition('.')[0]}: {event.id} reward {shown_reward(event)}: {text}")
            case Replied():
                self._print(f"step {event.step}: {event.name}: {one_line(event.text)}")
            case Retrying():
                self._print(retry_line(event))
            case Ended():
                self._print(f"ended ({_why(event)}): {_chosen(event)}, {self._tokens.line()}")

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False)


def _selection(plan: Plan) -> str:
    return "" if plan.select == "best" else f", chosen by {plan.select}"


def _why(event: Ended) -> str:
    return "the next prompt does not fit the model's context" if event.stop == "context" else event.stop


def _chosen(event: Ended) -> str:
    return "no answer" if event.chosen is None else f"the answer is {event.chosen}"


def retry_line(event: Retrying) -> str:
    """A failed call, and when it is tried again."""
    return f"{event.role}: {event.error} Trying again in {event.wait:.1f} s."


class LiveView(SilentView):
    """The search as a screenful that changes in place, on terminals from 40 columns and 12 lines.

    Args:
        console: the terminal.
        clock: seconds, from any beginning.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._tokens = TokenCount(clock)
        self._title = "starting"
        self._step = 0
        self._rows: dict[str, tuple[Sampled, Scored | None]] = {}
        # By turn, action and index: the answers that are being written.
        self._growing: dict[tuple[int, int, int], str] = {}
        # By turn and action: the step of each action that draws answers.
        self._drawing: dict[tuple[int, int], int] = {}
        # The last critique, with its name and place.
        self._critique: tuple[tuple[int, int], str, str] | None = None
        # The last score of every answer, by its id.
        self._scores: dict[str, Scored] = {}
        self._stale = self._ended = False
        self._note = ""
        # Last: it draws the first picture at once.
        self._live = RichLive(console=console, refresh_per_second=8, get_renderable=self.picture)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def note(self, line: str) -> None:
        """Print a note above the picture."""
        note(line)

    def listen(self, event: Event) -> None:
        """Take an event into the picture; the screen follows at its own pace."""
        self._tokens.take(event)
        match event:
            case Started(plan=plan):
                size = f"N={plan.width} D={plan.depth}"
                reward = f"reward {plan.reward or 'none'}{_selection(plan)}"
                self._title = f"{plan.method} {size} · {plan.models['policy']} · {reward}"
            case Prompted():
                self._begin(event)
            case TextGrew():
                self._grow(event)
            case Sampled():
                self._clear_stale()
                self._growing.pop((event.turn, event.action, event.index), None)
                self._rows[event.id] = (event, None)
            case Scored():
                self._score(event)
            case Replied():
                self._critique = (event.turn, event.action), event.name, event.text
            case Retrying():
                self._note = retry_line(event)
            case Called(error=None):
                self._note = ""
            case Ended():
                self._end(event)

    def _begin(self, event: Prompted) -> None:
        self._step = event.step
        if event.width is not None:
            self._drawing[event.turn, event.action] = event.step
            self._stale = True  # the last step's answers are shown until the first new one comes
        else:
            self._critique = (event.turn, event.action), event.name, ""

    def _grow(self, event: TextGrew) -> None:
        place = event.turn, event.action
        if place in self._drawing:
            self._clear_stale()
            key = *place, event.index
            self._growing[key] = self._growing.get(key, "") + event.text
        else:
            same = self._critique is not None and self._critique[0] == place
            text = self._critique[2] if same and self._critique is not None else ""
            self._critique = place, event.name, text + event.text

    def _score(self, event: Scored) -> None:
        self._scores[event.id] = event
        if event.id in self._rows:
            self._rows[event.id] = self._rows[event.id][0], event

    def _best(self) -> str:
        """The best reward of each step."""
        steps: dict[str, list[Scored]] = {}
        for id, scored in self._scores.items():
            steps.setdefault(id.partition(".")[0], []).append(scored)
        bests = ((step, best_reward(scores)) for step, scores in steps.items())
        return "  ".join(f"step {step}: {best:.3f}" for step, best in bests if best is not None)

    def _end(self, event: Ended) -> None:
        chosen = self._scores.get(event.chosen or "")
        scored = "" if chosen is None or chosen.reward is None else f" with reward {chosen.reward:.3f}"
        self._note = f"ended: {_why(event)}, {_chosen(event)}{scored}"
        self._ended = True
        self._growing.clear()

    def _clear_stale(self) -> None:
        if self._stale:
            self._rows, self._growing, self._stale = {}, {}, False

    def picture(self) -> RenderableType:
        """The view as it is now, for the console's width and height."""
        width, height = self._console.size
        above = [Text(one_line(self._title), style="bold", no_wrap=True, overflow="ellipsis")]
        below: list[RenderableType] = []
        critique = self._critique_panel(width, min(CRITIQUE_LINES, max(2, (height - 10) // 2)))
        if critique is not None:
            below.append(critique)
        if best := self._best():
            below.append(wrapped(f"best  {best}", "green"))
        below.append(wrapped(f"step {self._step} · {self._tokens.line()}", "dim"))
        if self._note:
            below.append(wrapped(one_line(self._note, (NOTE_LINES if height >= LOW else 1) * width), "yellow"))
        used = sum(len(self._console.render_lines(part, pad=False)) for part in [*above, *below])
        rows = max(FEWEST_ROWS, height - used - 3)  # below the table's heading, and above the cursor
        if self._rows or self._growing:
            return Group(*above, self._table(rows, narrow=width < NARROW), *below)
        return Group(*above, Text("" if self._ended else "waiting for the first answer", style="dim"), *below)

    def _critique_panel(self, width: int, most: int) -> Panel | None:
        """The end of the critique, at most so many lines of the terminal."""
        if self._critique is None or not self._critique[2].strip():
            return None
        _, name, text = self._critique
        lines = Text(safe(text.strip())).wrap(self._console, width - 4)
        return Panel(Text("\n").join(lines[-most:]), title=name.replace("_", " "), border_style="cyan")

    def _table(self, most: int, *, narrow: bool) -> Table:
        """The answers of this step; where they are too many, the best and those that are being written."""
        table = Table(box=box.SIMPLE, expand=True, show_edge=False, padding=(0, 1, 0, 0))
        for heading, width in (("id", 6), ("reward", 9), ("tokens", 6)):
            if heading != "tokens" or not narrow:
                table.add_column(heading, width=width, justify="right")
        table.add_column("answer", no_wrap=True, overflow="ellipsis", ratio=1)
        rows = list(self._rows.values())
        top = max(rows, key=_rank)[0].id if rows else None
        left_out = max(0, len(rows) + len(self._growing) - most)
        if left_out:
            most -= 1  # for the line that says how many are left out
            left_out += 1
            kept = sorted(rows, key=_rank, reverse=True)[: max(1, most - len(self._growing))]
            rows = [row for row in rows if row in kept]
        for sampled, scored in rows:
            best = scored is not None and scored.reward is not None and sampled.id == top
            unscored = "error" if sampled.error else "…"
            reward = ("* " if best else "") + (shown_reward(scored) if scored else unscored)
            text = (scored.error if scored and scored.error else None) or sampled.error or sampled.text
            self._add_row(table, sampled.id, reward, str(sampled.tokens), Text(one_line(text)), best=best)
        for (turn, action, index), text in sorted(self._growing.items())[: most - len(rows)]:
            step = self._drawing[turn, action]
            self._add_row(table, f"{step}.{index}", "…", "", Text(one_line(TAG.sub("", text)), style="dim"))
        if left_out:
            self._add_row(table, "…", "", "", Text(f"and {left_out} more", style="dim"))
        return table

    @staticmethod
    def _add_row(table: Table, id: str, reward: str, tokens: str, text: Text, *, best: bool = False) -> None:
        numbers = [id, reward, tokens][: len(table.columns) - 1]
        table.add_row(*numbers, text, style="bold green" if best else None)


def wrapped(line: str, style: str = "") -> Text:
    """A line that is wrapped in a live view, although its console leaves other lines whole."""
    return Text(line, style=style, no_wrap=False, overflow="fold")


def _rank(row: tuple[Sampled, Scored | None]) -> Rank:
    return row[1].rank if row[1] is not None else rank(None, leaked=False)


def view_of(console: Console, quiet: bool) -> SilentView:
    """The view that fits where stderr goes."""
    if quiet:
        return SilentView()
    return LiveView(console) if console.is_terminal else LineView(console)
