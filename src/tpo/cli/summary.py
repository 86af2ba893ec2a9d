"""A run's summary as people read it."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tpo.cli.progress import duration
from tpo.runs.summary import Summary
from tpo.stats import Estimate


def summary_table(summary: Summary, directory: Path) -> RenderableType:
    """The summary: what came of the queries, reward by step, and what each role cost."""
    parts: list[RenderableType] = [Text(f"{directory}", style="bold"), Text("\n".join(_lines(summary)))]
    if summary.steps:
        parts.append(_steps(summary))
    if summary.usage:
        parts.append(_roles(summary))
    parts += [Text(f"{count} × {error}", style="red") for error, count in summary.errors.items()]
    return Group(*parts)


def _lines(summary: Summary) -> list[str]:
    over = [f"{summary.done} answered"]
    over += [f"{summary.failed} failed"] if summary.failed else []
    over += [f"{summary.left} left"] if summary.left else []
    over += [f"{summary.bad_rows} bad rows left out"] if summary.bad_rows else []
    lines = [f"{summary.total} queries: {', '.join(over)}"]
    if summary.first and summary.reward and summary.improved:
        lines.append(
            f"reward of the first sample {_shown(summary.first)}, of the answer {_shown(summary.reward)}; "
            f"better in {_percent(summary.improved)} of {summary.reward.n} queries (a tie counts half)"
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


def _steps(summary: Summary) -> Table:
    table = Table(box=box.SIMPLE, show_edge=False)
    for heading in ("step", "best so far", "step's mean", "beats step 0", "queries"):
        table.add_column(heading, justify="right")
    for step in summary.steps:
        wins = _percent(step.wins) if step.wins else ""
        mean = _shown(step.mean) if step.mean else ""
        table.add_row(str(step.step), _shown(step.best), mean, wins, str(step.queries))
    return table


def _roles(summary: Summary) -> Table:
    table = Table(box=box.SIMPLE, show_edge=False)
    for heading in ("role", "calls", "prompt tokens", "cached", "completion tokens", "seconds", "waited"):
        table.add_column(heading, justify="left" if heading == "role" else "right")
    for role, used in summary.usage.items():
        tokens = (used.prompt_tokens, used.cached_tokens, used.completion_tokens)
        numbers = [str(used.calls), *map(str, tokens), f"{used.seconds:.1f}", f"{used.waited:.1f}"]
        table.add_row(role, *numbers)
    return table


def _shown(estimate: Estimate) -> str:
    return estimate.shown(3)


def _percent(estimate: Estimate) -> str:
    percent = estimate.times(100)
    if percent.low is None or percent.high is None:
        return f"{percent.value:.1f}%"
    return f"{percent.value:.1f}% [{percent.low:.1f}%, {percent.high:.1f}%]"
