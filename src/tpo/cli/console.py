"""Where the command line writes: results to stdout, everything else to stderr; and how a command ends."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import IO, Any, ParamSpec, TypeVar

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from tpo.cli.terminal import UNSAFE, is_safe, safe, unguarded
from tpo.errors import TPOError

P = ParamSpec("P")
T = TypeVar("T")

USER_ERROR = 2
BUG = 1
INTERRUPTED = 130
PARTLY_FAILED = 3
# 128 and the number of SIGPIPE: what shells report of a command whose reader left.
READER_LEFT = 141


class SafeConsole(Console):
    """A console whose only control sequences are its own: those of styles and of a view that changes in place."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See `rich.console.Console.render`; everything that is printed passes here."""
        for segment in super().render(renderable, options):
            if segment.control or is_safe(segment.text.rstrip("\n")):
                yield segment
            else:
                yield Segment(safe(segment.text), segment.style)

    @property
    def file(self) -> IO[str]:
        """The stream; a console makes its text safe by itself."""
        stream: IO[str] = unguarded(Console.file.fget(self))  # type: ignore[attr-defined]
        return stream

    @file.setter
    def file(self, new: IO[str]) -> None:
        Console.file.fset(self, new)  # type: ignore[attr-defined]


stderr = SafeConsole(stderr=True, highlight=False, soft_wrap=True)


def stdout(*, soft_wrap: bool = False) -> SafeConsole:
    """A console for results."""
    return SafeConsole(highlight=False, soft_wrap=soft_wrap)


def note(line: str) -> None:
    """Print a sentence that a user should read."""
    stderr.print(Text(f"tpo: {safe(line)}", style="dim"))


def noting(*, quiet: bool) -> Callable[[str], None]:
    """`note`, or nothing where nothing is wanted."""
    return (lambda line: None) if quiet else note


def reporting(command: Callable[P, T]) -> Callable[P, T]:
    """A command whose errors are one line on stderr and an exit code; `--debug` shows the traceback."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        debug = bool(kwargs.get("debug")) or bool(os.environ.get("TPO_DEBUG"))
        try:
            result = command(*args, **kwargs)
            if sys.stdout is not None:
                sys.stdout.flush()  # what cannot be written fails here, and not while Python ends
            return result
        except TPOError as error:
            _report("error:", str(error), debug)
            raise typer.Exit(USER_ERROR) from None
        except KeyboardInterrupt:
            stderr.print("tpo: interrupted before there was an answer")
            raise typer.Exit(INTERRUPTED) from None
        except (typer.Exit, typer.Abort):
            raise
        except BrokenPipeError:  # `tpo align … | head`
            _abandon_stdout()
            raise typer.Exit(READER_LEFT) from None
        except OSError as error:  # a full disk, a folder that may not be read: the machine's trouble and not a bug
            where = error.filename if isinstance(error.filename, str) else "the output"
            _abandon_stdout()
            _report("error:", f"{where} cannot be read or written: {error.strerror or error}.", debug)
            raise typer.Exit(USER_ERROR) from None
        except Exception as error:
            hint = "" if debug else " Run again with --debug for the traceback, and please report it."
            _report("bug:", f"{type(error).__name__}: {error}.{hint}", debug)
            raise typer.Exit(BUG) from None

    return wrapped


def _report(kind: str, line: str, debug: bool) -> None:
    if debug:
        stderr.print_exception()
    stderr.print(Text.assemble("tpo: ", (kind, "bold red"), " ", safe(line)))


def _abandon_stdout() -> None:
    """Have what Python still holds for stdout go nowhere, so that it ends without a second complaint."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError, AttributeError):  # a stream without a file behind it
        return


def print_answer(answer: str) -> None:
    """Print an answer, and nothing else, to stdout."""
    sys.stdout.write(answer if answer.endswith("\n") else f"{answer}\n")
    sys.stdout.flush()


def print_json(value: Any) -> None:
    """Print one JSON object to stdout; text that no encoding can carry, or that a terminal would obey, is escaped."""
    encoding = (sys.stdout.encoding or "utf-8").lower()
    try:
        text = json.dumps(value, ensure_ascii=encoding not in ("utf-8", "utf8"), allow_nan=False)
    except ValueError:
        raise TPOError(
            "The result holds a number that is not finite (NaN or infinity), which JSON cannot hold: a file "
            "that it was read from is damaged, or a reward returned it."
        ) from None
    sys.stdout.write(f"{UNSAFE.sub(_escaped, text)}\n")
    sys.stdout.flush()


def _escaped(match: Any) -> str:
    return json.dumps(match[0])[1:-1]
