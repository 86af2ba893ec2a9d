"""Where the command line writes: results to stdout, everything else to stderr."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from tpo.errors import TPOError

P = ParamSpec("P")
T = TypeVar("T")

stderr = Console(stderr=True, highlight=False, soft_wrap=True)

USER_ERROR = 2
BUG = 1
INTERRUPTED = 130
PARTLY_FAILED = 3


def note(line: str) -> None:
    """Say something that a user should know."""
    stderr.print(f"[dim]tpo: {escape(line)}[/dim]")


def noting(*, quiet: bool) -> Callable[[str], None]:
    """`note`, or nothing where nothing is wanted."""
    return (lambda line: None) if quiet else note


def reporting(command: Callable[P, T]) -> Callable[P, T]:
    """A command whose errors are one line on stderr and an exit code; `--debug` shows the traceback."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        debug = bool(kwargs.get("debug")) or bool(os.environ.get("TPO_DEBUG"))
        try:
            return command(*args, **kwargs)
        except TPOError as error:
            _report(f"[bold red]error:[/bold red] {escape(str(error))}", debug)
            raise typer.Exit(USER_ERROR) from None
        except KeyboardInterrupt:
            stderr.print("tpo: interrupted before there was an answer")
            raise typer.Exit(INTERRUPTED) from None
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except Exception as error:
            said = escape(f"{type(error).__name__}: {error}")
            hint = "" if debug else " Run again with --debug for the traceback, and please report it."
            _report(f"[bold red]bug:[/bold red] {said}.{hint}", debug)
            raise typer.Exit(BUG) from None

    return wrapped


def _report(line: str, debug: bool) -> None:
    if debug:
        stderr.print_exception()
    stderr.print(f"tpo: {line}")


def print_answer(answer: str) -> None:
    """Print an answer, and nothing else, to stdout."""
    sys.stdout.write(answer if answer.endswith("\n") else f"{answer}\n")
    sys.stdout.flush()


def print_json(value: Any) -> None:
    """Print one JSON object to stdout; text that no encoding can carry is escaped."""
    encoding = (sys.stdout.encoding or "utf-8").lower()
    text = json.dumps(value, ensure_ascii=encoding not in ("utf-8", "utf8"), allow_nan=False)
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
