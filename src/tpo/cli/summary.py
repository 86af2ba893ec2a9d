"""A run's summary for people, in 80 columns where its numbers allow it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from tpo.cli.progress import duration
from tpo.engine.result import ARM_HEADINGS, arm_row
from tpo.runs.summary import RunSummary
from tpo.stats import Estimate

# Columns that no table needs.
UNLIMITED = 10_000


def summary_table(summary: RunSummary, directory: Path) -> RenderableType:
    """The summary: counts of queries, reward by step, and the costs of each role."""
    parts: list[RenderableType] = [Text(f"{directory}", style="bold"), Text("\n".join(_lines(summary)))]
    parts += [Text(f"warning: {warning}", style="yellow") for warning in summary.warnings]
    if summary.steps:
        parts.append(_steps(summary))
    if summary.usage:
        parts.append(_roles(summary))
    if summary.arms:
        parts.append(_arms(summary))
    parts += [Text(f"{count} × {error}", style="red") for error, count in summary.errors.items()]
    return Group(*parts)


def _lines(summary: RunSummary) -> list[str]:
    over = [f"{summary.done} answered"]
    over += [f"{summary.failed} failed"] if summary.failed else []
    over += [f"{summary.left} left"] if summary.left else []
    over += [f"{summary.bad_rows} bad rows left out"] if summary.bad_rows else []
    lines = [f"{summary.total} queries: {', '.join(over)}"]
    if summary.first and summary.reward and summary.improved:
        lines.append(f"reward: first sample {_shown(summary.first)}, answer {_shown(summary.reward)}")
        queries = f"{summary.reward.n} queries" if summary.reward.n else "queries"  # earlier files do not have it
        lines.append(f"the answer is better in {_percent(summary.improved)} of {queries} (a tie counts half)")
    if (held_out := summary.held_out) is not None:
        first, answer, gain = map(_shown, (held_out.first, held_out.answer, held_out.gain))
        lines.append(f"held-out judge: first sample {first}, answer {answer}, gain {gain}")
        if held_out.missing:
            lines.append(f"the held-out judge gave no score for {held_out.missing} queries")
    if summary.lengths is not None:
        lengths = summary.lengths
        lines.append(
            f"length in characters: first sample {lengths.first.value:.0f}, answer {lengths.answer.value:.0f} "
            f"({lengths.growth:+.0%})"
        )
    rate = f", {summary.tokens_per_second:.0f} tokens/s" if summary.tokens_per_second else ""
    lines.append(f"{duration(summary.seconds)}{rate}, {summary.calls} calls, {summary.retries} retries")
    if summary.time:
        lines.append("time: " + ", ".join(f"{name} {share:.0%}" for name, share in summary.time.items()))
    if summary.cached_share is not None:
        lines.append(f"{summary.cached_share:.0%} of the prompt tokens came from the servers' caches")
    if summary.cost is not None:
        lines.append(f"cost {summary.cost:.4f}")
    return lines


class FirstThatFits:
    """The first of several forms that fits the width; otherwise the last."""

    def __init__(self, *forms: RenderableType) -> None:
        self._forms = forms

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for form in self._forms[:-1]:
            if Measurement.get(console, options.update(width=UNLIMITED), form).maximum <= options.max_width:
                yield form
                return
        yield self._forms[-1]


def table_or_lines(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> RenderableType:
    """A table whose first column names the row, or a line for each row where the terminal is too narrow for it."""
    lines = [f"{row[0]}: " + ", ".join(f"{h} {v}" for h, v in zip(headings[1:], row[1:], strict=True)) for row in rows]
    return FirstThatFits(_table(headings, rows), Text("\n".join(lines)))


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=box.SIMPLE, show_edge=False, padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "role" else "right")
    for row in rows:
        table.add_row(*row)
    return table


def _steps(summary: RunSummary) -> RenderableType:
    """Reward by step; intervals are below their numbers where the terminal is too narrow for them."""
    headings = ("step", "best so far", "step's mean", "beats step 0", "queries")

    def rows(between: str) -> list[tuple[str, ...]]:
        return [
            (
                str(step.step),
                _shown(step.best, between),
                _shown(step.mean, between) if step.mean else "",
                _percent(step.wins, between) if step.wins else "",
                str(step.queries),
            )
            for step in summary.steps
        ]

    lines = [
        f"step {step}: best {best}" + (f", mean {mean}" if mean else "") + (f", beats step 0 in {wins}" if wins else "")
        for step, best, mean, wins, _ in rows(" ")
    ]
    return FirstThatFits(_table(headings, rows(" ")), _table(headings, rows("\n")), Text("\n".join(lines)))


def _roles(summary: RunSummary) -> RenderableType:
    headings = ("role", "calls", "prompt tokens", "cached", "completion tokens", "seconds", "waited")
    rows = []
    for role, used in summary.usage.items():
        tokens = (used.prompt_tokens, used.cached_tokens, used.completion_tokens)
        rows.append((role, str(used.calls), *map(str, tokens), f"{used.seconds:.1f}", f"{used.waited:.1f}"))
    return table_or_lines(headings, rows)


def _arms(summary: RunSummary) -> RenderableType:
    return table_or_lines(ARM_HEADINGS, [arm_row(named) for named in summary.arms.items()])


def _shown(estimate: Estimate, between: str = " ") -> str:
    return estimate.shown(3).replace(" ", between, 1)


def _percent(estimate: Estimate, between: str = " ") -> str:
    percent = estimate.times(100)
    if percent.low is None or percent.high is None:
        return f"{percent.value:.1f}%"
    return f"{percent.value:.1f}%{between}[{percent.low:.1f}%, {percent.high:.1f}%]"
