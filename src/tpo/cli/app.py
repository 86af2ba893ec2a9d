"""The `tpo` command."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from tpo.cli.commands import HELP_NAMES, TpoGroup
from tpo.cli.terminal import guard_streams

app = typer.Typer(
    name="tpo",
    cls=TpoGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=HELP_NAMES,
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"tpo {version('tpo')}")
        raise typer.Exit


@app.callback()
def _tpo(
    context: typer.Context,
    config_file: Annotated[Path | None, typer.Option("--config", envvar="TPO_CONFIG")] = None,
    show_version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    """Align a language model's answers with a reward while it answers (test-time preference optimization)."""
    from tpo.cli.console import reporting
    from tpo.cli.flags import as_text
    from tpo.config import load_config
    from tpo.options import configurable

    loaded = reporting(load_config)(config_file)
    context.obj = loaded
    known = configurable()
    values = {name: as_text(next(iter(known.get(name, ())), None), value) for name, value in loaded.options.items()}
    context.default_map = {
        **dict.fromkeys(("align", "chat", "run", "serve", "check"), values),
        "view": {name: value for name, value in values.items() if name not in ("host", "port")},
        "eval": {"tasks": {name: value for name, value in values.items() if name not in ("method", "set")}},
    }


def main() -> None:
    """Run the command line; its exit code is 0 for an answer, 2 for a user's mistake or a failing backend,
    130 when it was interrupted (the best answer so far is printed all the same), 1 for a bug in tpo."""
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        sys.stderr.write("tpo: error: standard output is closed: there is nowhere to write an answer to.\n")
        raise SystemExit(2)
    guard_streams()
    app()
