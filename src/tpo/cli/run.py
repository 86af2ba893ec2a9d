"""`tpo run`: answer every query of a dataset, aligned."""

from __future__ import annotations

import asyncio
import gc
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tpo.cli.console import INTERRUPTED, PARTLY_FAILED, note, noting, print_json, reporting, stderr
from tpo.cli.interrupts import interruptible
from tpo.cli.options import OUTPUT, search_options, takes_search_flags
from tpo.config import Config

if TYPE_CHECKING:
    from tpo.runs.dataset import Report, RunOptions
    from tpo.runs.ray import Cluster
    from tpo.session.spec import Spec

DATA, SPEED, KEEPING, CLUSTER = "Data", "Speed", "What is there already", "Many machines"


class OnBadRow(StrEnum):
    """What to do with rows that hold no query."""

    STOP = "stop"
    SKIP = "skip"


class Order(StrEnum):
    """The order of answers.jsonl."""

    FINISHED = "finished"
    INPUT = "input"


@reporting
@takes_search_flags
def run(
    context: typer.Context,
    data: Annotated[str, typer.Argument(help="A file, a folder, a dataset's name, or - for standard input.")],
    out: Annotated[Path, typer.Option(help="The directory of the run.", rich_help_panel=OUTPUT)],
    column: Annotated[str | None, typer.Option(help="The column that holds the query.", rich_help_panel=DATA)] = None,
    split: Annotated[str | None, typer.Option(help="The split of a dataset.", rich_help_panel=DATA)] = None,
    on_bad_row: Annotated[
        OnBadRow, typer.Option(help="Refuse to begin, or leave such rows out.", rich_help_panel=DATA)
    ] = OnBadRow.STOP,
    concurrency: Annotated[
        int | None,
        typer.Option(
            help="Sequences in flight at each server; what it takes is found out unless given.", rich_help_panel=SPEED
        ),
    ] = None,
    patience: Annotated[
        float, typer.Option(help="Seconds for which a server that is down is tried again.", rich_help_panel=SPEED)
    ] = 1800.0,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Spread the queries over a Ray cluster: auto, local, HOST:PORT or ray://HOST:PORT.",
            rich_help_panel=CLUSTER,
        ),
    ] = None,
    ray_workers: Annotated[
        int | None, typer.Option(help="Workers; one on each node unless given.", rich_help_panel=CLUSTER)
    ] = None,
    ray_rewards: Annotated[
        int | None,
        typer.Option(help="Actors that hold an in-process reward; one on each GPU, or one.", rich_help_panel=CLUSTER),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew; what is there is put aside.", rich_help_panel=KEEPING)
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try the failed queries again.", rich_help_panel=KEEPING)
    ] = False,
    order: Annotated[
        Order, typer.Option(help="As queries finish, or in the end as in the data.", rich_help_panel=OUTPUT)
    ] = Order.FINISHED,
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Write answers.parquet as well.", rich_help_panel=OUTPUT)
    ] = False,
    price: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=PROMPT/COMPLETION",
            help="What a million tokens cost (repeatable), such as policy=0.15/0.60.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as one JSON object.", rich_help_panel=OUTPUT)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr.", rich_help_panel=OUTPUT)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=OUTPUT)] = False,
    **flags: Any,
) -> None:
    """Answer every query of a dataset, aligned, at the full speed of the server.

    Answers go to OUT/answers.jsonl as they come, the summary to OUT/summary.json and stdout. The same command again
    goes on where the last one stopped. The exit code is 0 if all queries were answered, 3 if some failed, 2 if the run
    could not go on, 130 if it was interrupted.
    """
    from tpo.runs.dataset import RunOptions
    from tpo.runs.summary import parse_prices
    from tpo.session.spec import specified

    configured: Config = context.obj
    options = RunOptions(
        column=column,
        split=split,
        skip_bad_rows=on_bad_row is OnBadRow.SKIP,
        concurrency=concurrency,
        patience=patience,
        fresh=fresh,
        retry_failed=retry_failed,
        input_order=order is Order.INPUT,
        parquet=parquet,
        prices=parse_prices(price or ()),
    )
    cluster = None
    if ray is None:
        spec = specified(search_options(flags, configured, noting(quiet=quiet)))
    else:
        from tpo.runs.ray import Cluster

        cluster = Cluster(ray, flags, configured.rewards, ray_workers, ray_rewards)
        spec = cluster.spec
    # The records of open queries are many small objects that live for a while: looking through them seldom saves a
    # tenth of our processor time.
    gc.set_threshold(50_000, 20, 50)
    report = asyncio.run(_run(data, out, spec, options, quiet, cluster))
    _show(report, as_json=as_json, quiet=quiet)
    if report.stopped:
        raise typer.Exit(INTERRUPTED)
    if report.summary.failed:
        raise typer.Exit(PARTLY_FAILED)


async def _run(data: str, out: Path, spec: Spec, options: RunOptions, quiet: bool, cluster: Cluster | None) -> Report:
    from tpo.cli.progress import progress_of
    from tpo.runs.dataset import run_spec

    watcher = progress_of(stderr, quiet)

    def stop() -> bool:
        if watcher.runner is None:
            return False
        watcher.runner.stop()
        return True

    with interruptible(stop), watcher:
        return await run_spec(data, out, spec, options, watcher, cluster)


def _show(report: Report, *, as_json: bool, quiet: bool) -> None:
    import msgspec
    from rich.console import Console

    from tpo.cli.summary import summary_table

    summary = report.summary
    if report.idle and not quiet:
        note(f"{report.directory} is finished: all {summary.total} queries have their answers; nothing was done.")
    if report.stopped and not quiet:
        note(f"interrupted: {summary.left} of {summary.total} queries are left; the same command goes on.")
    if as_json:
        print_json(msgspec.to_builtins(summary))
    else:
        Console(soft_wrap=False).print(summary_table(summary, report.directory))
