"""The `tpo` command and its subcommands."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from tpo.cli import align, replay
from tpo.cli.console import stderr

app = typer.Typer(
    name="tpo",
    help="Align a language model's answers with a reward while it answers (test-time preference optimization).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("align")(align.align)
app.command("replay")(replay.replay)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tpo {version('tpo')}")
        raise typer.Exit


@app.callback()
def _tpo(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Align a language model's answers with a reward while it answers (test-time preference optimization)."""


def main() -> None:
    """Run the command line; its exit code is 0 for an answer, 2 for a user's mistake or a failing backend,
    130 when it was interrupted (the best answer so far is printed all the same), 1 for a bug in tpo."""
    try:
        app()
    except BrokenPipeError:  # `tpo align … | head`
        stderr.quiet = True
        raise SystemExit(0) from None
