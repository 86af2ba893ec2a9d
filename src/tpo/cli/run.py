"""`tpo run`: answer every query of a dataset, aligned."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tpo.cli.console import INTERRUPTED, PARTLY_FAILED, note, noting, print_json, reporting, stderr, stdout
from tpo.cli.flags import chosen, search_options, takes
from tpo.cli.interrupts import interruptible
from tpo.config import Config
from tpo.options import ClusterOptions, RunOptions, SearchOptions
from tpo.options.groups import OUTPUT

if TYPE_CHECKING:
    from tpo.runs.dataset import Report
    from tpo.runs.ray import Cluster
    from tpo.session.spec import Spec


@reporting
@takes(SearchOptions, RunOptions, ClusterOptions)
def run(
    context: typer.Context,
    data: Annotated[str, typer.Argument(help="A file, a folder, a dataset's name, or - for standard input.")],
    out: Annotated[Path, typer.Option(help="The directory of the run.", metavar="FOLDER", rich_help_panel=OUTPUT)],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as one JSON object.", rich_help_panel=OUTPUT)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr.", rich_help_panel=OUTPUT)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=OUTPUT)] = False,
    **flags: Any,
) -> None:
    """Answer every query of a dataset, aligned, as fast as the server allows.

    Answers go to OUT/answers.jsonl as they come, the summary to OUT/summary.json and stdout. The same command again
    continues where the last one stopped. The exit code is 0 if all queries were answered, 3 if some failed, 2 if the
    run could not continue, 130 if it was interrupted.
    """
    from tpo.session.spec import specified

    configured: Config = context.obj
    options = chosen(RunOptions, flags)
    cluster = None
    machines = chosen(ClusterOptions, flags)
    if machines.ray is None:
        spec = specified(search_options(context, flags, noting(quiet=quiet)))
    else:
        from tpo.runs.ray import Cluster

        search = search_options(context, flags, noting(quiet=True))
        cluster = Cluster(machines.ray, search, configured.rewards, machines.ray_workers, machines.ray_rewards)
        spec = cluster.spec
    # The records of open queries are many small objects that live for a while: fewer collections save a tenth of our
    # processor time.
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

    from tpo.cli.summary import summary_table

    summary = report.summary
    if report.idle and not quiet:
        note(
            f"{report.directory} is finished: all {summary.total} queries have their answers; there was nothing to do."
        )
    if report.stopped and not quiet:
        note(f"interrupted: {summary.left} of {summary.total} queries are left; the same command continues.")
    if as_json:
        print_json(msgspec.to_builtins(summary))
    else:
        stdout().print(summary_table(summary, report.directory))
