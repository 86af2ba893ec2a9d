"""The `tpo` command and its subcommands."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from tpo.cli import align, check, config, export, key, methods, replay, report, run, runs, serve, show, view
from tpo.cli import eval as evaluation
from tpo.cli.console import reporting, stderr
from tpo.cli.flags import as_text
from tpo.config import load_config
from tpo.options import configurable

# Each flag of `align`, `run`, `eval` and `serve` may also stand in the environment (`TPO_WIDTH`) and in tpo.toml.
FROM_ENVIRONMENT = {"auto_envvar_prefix": "TPO"}

app = typer.Typer(
    name="tpo",
    help="Align a language model's answers with a reward while it answers (test-time preference optimization).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("align", context_settings=FROM_ENVIRONMENT)(align.align)
app.command("run", context_settings=FROM_ENVIRONMENT)(run.run)
app.command("serve", context_settings=FROM_ENVIRONMENT)(serve.serve)
app.command("key")(key.key)
app.command("view", context_settings=FROM_ENVIRONMENT)(view.view)
app.command("check", context_settings=FROM_ENVIRONMENT)(check.check)
app.add_typer(evaluation.app, name="eval")
app.command("show")(show.show)
app.command("runs")(runs.runs)
app.command("methods")(methods.methods)
app.command("export")(export.export)
app.command("report")(report.report)
app.command("replay")(replay.replay)
app.command("config")(config.config)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tpo {version('tpo')}")
        raise typer.Exit


@app.callback()
@reporting
def _tpo(
    context: typer.Context,
    config_file: Annotated[
        Path | None,
        typer.Option("--config", envvar="TPO_CONFIG", help="A configuration [default: tpo.toml, if there is one]."),
    ] = None,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Align a language model's answers with a reward while it answers (test-time preference optimization)."""
    loaded = load_config(config_file)
    context.obj = loaded
    known = configurable()
    values = {name: as_text(next(iter(known.get(name, ())), None), value) for name, value in loaded.options.items()}
    context.default_map = {
        "align": values,
        "run": values,
        "serve": values,
        "view": {name: value for name, value in values.items() if name not in ("host", "port")},
        "eval": {evaluation.TASKS: {name: value for name, value in values.items() if name != "method"}},
        "check": values,
    }


def main() -> None:
    """Run the command line; its exit code is 0 for an answer, 2 for a user's mistake or a failing backend,
    130 when it was interrupted (the best answer so far is printed all the same), 1 for a bug in tpo."""
    try:
        app()
    except BrokenPipeError:  # `tpo align … | head`
        stderr.quiet = True
        raise SystemExit(0) from None
