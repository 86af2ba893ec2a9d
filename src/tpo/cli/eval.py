"""`tpo eval`: methods on benchmarks, in one table."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from tpo.cli import judge
from tpo.cli.console import INTERRUPTED, PARTLY_FAILED, note, noting, print_answer, print_json, reporting, stderr
from tpo.cli.interrupts import interruptible
from tpo.cli.options import METHOD, OUTPUT, search_options, takes_search_flags
from tpo.config import Config

if TYPE_CHECKING:
    from tpo.evals.evaluate import Wanted
    from tpo.evals.evaluation import Evaluation
    from tpo.runs.dataset import RunOptions
    from tpo.session.spec import Options

DATA, MEASURING, SPEED = "Benchmarks", "Measuring", "Speed"
# What a benchmark is run by when no command is named.
TASKS = "tasks"
FROM_ENVIRONMENT = {"auto_envvar_prefix": "TPO"}


class Format(StrEnum):
    """How the table is printed."""

    MARKDOWN = "markdown"
    CSV = "csv"
    LATEX = "latex"
    HTML = "html"


class _TasksUnlessNamed(TyperGroup):
    """A group whose first argument may be a benchmark, which then is run."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [TASKS, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_TasksUnlessNamed,
    help="Evaluate: `tpo eval TASK… --method tpo --method sample --data DIR --out OUT` makes one table of methods and "
    "benchmarks; `tpo eval tasks --help` has its options. `tpo eval judge` says how far to trust a judge or a reward.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@reporting
@takes_search_flags
def tasks(
    context: typer.Context,
    task: Annotated[
        list[str],
        typer.Argument(
            metavar="TASK…",
            help="Benchmarks: alpaca_eval, arena_hard, hh_rlhf, beavertails, xstest, math500, ifeval, mt_bench, gsm8k.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The directory of the evaluation.", rich_help_panel=OUTPUT)],
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="A method (repeatable), with dials where these are not --width and --depth: sample, tpo, tpo-d5-n20, "
            "revision, best-of-n, best-of-30. Unless given: sample, best-of-n and tpo.",
            rich_help_panel=METHOD,
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PLACE",
            help="Published data (repeatable): a folder with a folder for each benchmark, TASK=PATH, hub: for the "
            "Hugging Face Hub, or TASK=hub:ORG/NAME.",
            rich_help_panel=DATA,
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Most queries of each benchmark, drawn at random.", rich_help_panel=DATA)
    ] = None,
    subset_seed: Annotated[int, typer.Option(help="Seed of that selection.", rich_help_panel=DATA)] = 0,
    judge: Annotated[
        str | None,
        typer.Option(help="Who judges: http://HOST:PORT/v1, embedded, gguf:PATH.", rich_help_panel=MEASURING),
    ] = None,
    judge_model: Annotated[
        str | None, typer.Option(help="The judge's model, where several are served.", rich_help_panel=MEASURING)
    ] = None,
    judge_max_tokens: Annotated[
        int | None,
        typer.Option(help="Most tokens of its reply; each benchmark has its own limit.", rich_help_panel=MEASURING),
    ] = None,
    held_out: Annotated[
        str | None,
        typer.Option(metavar="REWARD", help="A reward that only measures, as for --reward.", rich_help_panel=MEASURING),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD",
            help="Hold answers against those of this method where a benchmark has a published baseline.",
            rich_help_panel=MEASURING,
        ),
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=COUNT",
            help="Parameters of a model (repeatable), such as policy=70B, where its name does not tell.",
            rich_help_panel=MEASURING,
        ),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            help="Sequences in flight at each server; what it takes is found out unless given.", rich_help_panel=SPEED
        ),
    ] = None,
    patience: Annotated[
        float, typer.Option(help="Seconds for which a server that is down is tried again.", rich_help_panel=SPEED)
    ] = 1800.0,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try the failed queries again.", rich_help_panel=SPEED)
    ] = False,
    format: Annotated[
        Format, typer.Option(help="How the table is printed; OUT has it in all formats.", rich_help_panel=OUTPUT)
    ] = Format.MARKDOWN,
    details: Annotated[
        bool, typer.Option("--details", help="Show all numbers of each benchmark.", rich_help_panel=OUTPUT)
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything as one JSON object.", rich_help_panel=OUTPUT)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr.", rich_help_panel=OUTPUT)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=OUTPUT)] = False,
    **flags: Any,
) -> None:
    """Run methods on benchmarks, grade the answers, and print one table with 95 % intervals and costs.

    The same command again goes on where the last one stopped, and pays for nothing twice. The exit code is 0 if all
    queries were answered, 3 if some failed, 2 if it could not go on, 130 if it was interrupted.
    """
    import msgspec

    from tpo.evals.costs import parse_parameters
    from tpo.evals.evaluate import Wanted
    from tpo.evals.formats import FORMATS, write_tables
    from tpo.evals.table import table_of
    from tpo.methods.presets import parse_preset
    from tpo.rewards.resolve import resolve_reward
    from tpo.runs.dataset import RunOptions

    configured: Config = context.obj
    methods = method or ["sample", "best-of-n", "tpo"]
    steering = next((name for one in methods if (name := parse_preset(one).method) != "sample"), "tpo")
    options = search_options({**flags, "method": steering}, configured, noting(quiet=quiet))
    wanted = Wanted(
        tasks=task,
        methods=methods,
        out=out,
        data=data or [],
        limit=limit,
        subset_seed=subset_seed,
        judge=judge,
        judge_model=judge_model,
        judge_max_tokens=judge_max_tokens,
        held_out=resolve_reward(held_out, named=configured.rewards) if held_out is not None else None,
        against=against,
        parameters=parse_parameters(parameters or ()),
    )
    running = RunOptions(concurrency=concurrency, patience=patience, retry_failed=retry_failed)
    try:
        evaluation = asyncio.run(_evaluate(wanted, options, running, quiet))
    except KeyboardInterrupt:
        if not quiet:
            note("interrupted: the same command goes on.")
        raise typer.Exit(INTERRUPTED) from None
    write_tables(evaluation, out, details=details)
    if as_json:
        print_json(msgspec.to_builtins(evaluation))
    else:
        print_answer(FORMATS[format.value][1](evaluation, table_of(evaluation, details=details)))
    if any(cell.failed for cell in evaluation.cells):
        raise typer.Exit(PARTLY_FAILED)


async def _evaluate(wanted: Wanted, options: Options, running: RunOptions, quiet: bool) -> Evaluation:
    from tpo.cli.eval_progress import EvalProgress
    from tpo.evals.evaluate import evaluate

    progress = EvalProgress(stderr, quiet)
    # Runs and judgements are written down as they come: cutting everything short loses nothing that was paid for.
    with interruptible(lambda: False), progress:
        return await evaluate(wanted, options, running, progress)


app.command(TASKS, context_settings=FROM_ENVIRONMENT)(tasks)
app.command("judge")(judge.judge)
