"""`tpo eval`: methods on benchmarks, in one table."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from tpo.cli import judge
from tpo.cli.commands import HELP_NAMES, SEARCH
from tpo.cli.console import INTERRUPTED, PARTLY_FAILED, note, noting, print_answer, print_json, reporting, stderr
from tpo.cli.flags import chosen, search_options, takes
from tpo.cli.help import HelpfulCommand
from tpo.cli.interrupts import interruptible
from tpo.options import EvalOptions, RunOptions, SearchOptions
from tpo.options.groups import DATA, METHOD, OUTPUT

if TYPE_CHECKING:
    from tpo.evals.evaluate import Wanted
    from tpo.evals.evaluation import Evaluation
    from tpo.session.spec import Options

# Options of a run that have no meaning for benchmarks.
OF_DATASETS = ("total_budget_tokens", "column", "split", "skip_bad_rows", "fresh", "input_order", "parquet", "prices")
# What a benchmark is run by when no command is named.
TASKS = "tasks"


class _TasksUnlessNamed(TyperGroup):
    """A group whose first argument may be a benchmark, which then is run."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in self.commands:
            args = [TASKS, *args]
        return super().parse_args(ctx, args)


class _TasksCommand(HelpfulCommand):
    examples = (
        "tpo eval math500 --data hub: --out results --policy http://localhost:8000/v1",
        "tpo eval judge preferences.jsonl --judge http://localhost:8002/v1",
    )
    # Methods are what it compares, so the dial that chooses one comes last.
    first = (
        *(name for name in SEARCH if name != "effort"),
        "task",
        "out",
        "data",
        "limit",
        "judge",
        "held_out",
        "format",
        "as_json",
        "quiet",
    )


class _JudgeCommand(HelpfulCommand):
    examples = ("tpo eval judge preferences.jsonl --judge http://localhost:8002/v1",)


app = typer.Typer(
    cls=_TasksUnlessNamed,
    help="Evaluate: `tpo eval TASK… --method tpo --method sample --data DIR --out OUT` makes one table of methods and "
    "benchmarks; `tpo eval tasks --help` has its options. `tpo eval judge` measures a judge or a reward.",
    rich_markup_mode=None,
    context_settings=HELP_NAMES,
)


@reporting
@takes(SearchOptions, EvalOptions, RunOptions, without=OF_DATASETS)
def tasks(
    context: typer.Context,
    task: Annotated[
        list[str],
        typer.Argument(
            metavar="TASK…",
            help="Benchmarks: alpaca_eval, arena_hard, hh_rlhf, beavertails, xstest, math500, ifeval, mt_bench, gsm8k, "
            "those of installed packages, python:MODULE:NAME, or your own: any other name with --data NAME=FILE.",
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="The directory of the evaluation.", metavar="FOLDER", rich_help_panel=OUTPUT)
    ],
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="A method (repeatable): sample, tpo, revision, best-of-n, or with its own depth and width tpo-d5-n20, "
            "best-of-30. Unless given: sample, best-of-n and tpo.",
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

    The same command again continues where the last one stopped, and pays for nothing twice. The exit code is 0 if all
    queries were answered, 3 if some failed, 2 if it could not continue, 130 if it was interrupted.
    """
    import msgspec

    from tpo.evals.costs import parse_parameters
    from tpo.evals.evaluate import Wanted
    from tpo.evals.table import FORMATS, table_of, write_tables
    from tpo.methods.presets import parse_preset

    methods = method or ["sample", "best-of-n", "tpo"]
    steering = next((name for one in methods if (name := parse_preset(one).method) != "sample"), "tpo")
    options = search_options(context, {**flags, "method": steering}, noting(quiet=quiet))
    options.pop("judge", None)  # the flag is that of the evaluation's own judge
    measured = chosen(EvalOptions, flags)
    wanted = Wanted(
        tasks=task,
        methods=methods,
        out=out,
        data=data or [],
        limit=measured.limit,
        subset_seed=measured.subset_seed,
        judge=measured.judge,
        judge_model=measured.judge_model,
        judge_max_tokens=measured.judge_max_tokens,
        held_out=measured.held_out,
        against=measured.against,
        parameters=parse_parameters(measured.parameters),
    )
    running = chosen(RunOptions, flags)
    try:
        evaluation = asyncio.run(_evaluate(wanted, options, running, quiet))
    except KeyboardInterrupt:
        if not quiet:
            note("interrupted: the same command continues.")
        raise typer.Exit(INTERRUPTED) from None
    write_tables(evaluation, out, details=measured.details)
    if as_json:
        print_json(msgspec.to_builtins(evaluation))
    else:
        print_answer(FORMATS[measured.format.value][1](evaluation, table_of(evaluation, details=measured.details)))
    if any(cell.failed for cell in evaluation.cells):
        raise typer.Exit(PARTLY_FAILED)


async def _evaluate(wanted: Wanted, options: Options, running: RunOptions, quiet: bool) -> Evaluation:
    from tpo.cli.eval_progress import EvalProgress
    from tpo.evals.evaluate import evaluate

    progress = EvalProgress(stderr, quiet)
    # Runs and judgements are written down as they come: cutting everything short loses nothing that was paid for.
    with interruptible(lambda: False), progress:
        return await evaluate(wanted, options, running, progress)


app.command(TASKS, cls=_TasksCommand, context_settings={"auto_envvar_prefix": "TPO", **HELP_NAMES})(tasks)
app.command("judge", cls=_JudgeCommand, context_settings=HELP_NAMES)(judge.judge)
