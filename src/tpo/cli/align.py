"""`tpo align`: answer one query, aligned."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tpo.cli.console import INTERRUPTED, note, noting, print_answer, print_json, reporting, stderr
from tpo.cli.flags import search_options, takes
from tpo.cli.interrupts import interruptible
from tpo.errors import InputError, TPOError
from tpo.options import SearchOptions
from tpo.options.groups import OUTPUT, QUERY

if TYPE_CHECKING:
    from tpo.engine.events import Event
    from tpo.engine.result import Result


@reporting
@takes(SearchOptions)
def align(
    context: typer.Context,
    prompt: Annotated[str | None, typer.Argument(help="The question; - reads it from standard input.")] = None,
    file: Annotated[Path | None, typer.Option(help="A file that holds the question.", rich_help_panel=QUERY)] = None,
    messages: Annotated[
        Path | None, typer.Option(help="A JSON file with chat messages.", rich_help_panel=QUERY)
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole result as one JSON object.", rich_help_panel=OUTPUT)
    ] = False,
    trace: Annotated[
        Path | None,
        typer.Option(
            help="Record the search in this JSON Lines file; the same command continues an interrupted search.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr.", rich_help_panel=OUTPUT)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=OUTPUT)] = False,
    **flags: Any,
) -> None:
    """Answer a question, aligned with a reward: sample, score, criticise, rewrite, and keep the best.

    The answer alone goes to stdout. Keys for servers come from TPO_API_KEY, or TPO_POLICY_API_KEY, TPO_CRITIC_API_KEY
    and TPO_EDITOR_API_KEY.
    """
    query = read_query(prompt, file, messages)
    options: dict[str, Any] = {**search_options(context, flags, noting(quiet=quiet)), "trace": trace}
    try:
        result = asyncio.run(_run(query, options, quiet))
    except TPOError as error:
        if error.partial is not None and error.partial.answer:
            noting(quiet=quiet)("the search broke off; the answer is the best so far")
            _print(error.partial, as_json)
        raise
    _print(result, as_json)
    if result.stop == "interrupt":
        raise typer.Exit(INTERRUPTED)


def _print(result: Result, as_json: bool) -> None:
    if as_json:
        print_json(result.to_dict())
    else:
        print_answer(result.answer)


async def _run(query: str | list[dict[str, Any]], options: dict[str, Any], quiet: bool) -> Result:
    from tpo import api
    from tpo.cli.live import view_of
    from tpo.engine.limits import Stopper

    stopper = Stopper()
    begun = False

    def stop() -> bool:
        stopper.stop("interrupt")
        return begun

    with interruptible(stop), view_of(stderr, quiet) as view:

        def on_event(event: Event) -> None:
            nonlocal begun
            begun = True
            view.listen(event)

        return await api.align(query, **options, stopper=stopper, on_event=on_event, on_note=view.note)


def read_query(prompt: str | None, file: Path | None, messages: Path | None) -> str | list[dict[str, Any]]:
    """The query that a user gave in one of three ways.

    Args:
        prompt: the question itself; `-` reads it from standard input.
        file: a file that holds the question.
        messages: a JSON file that holds chat messages.

    Raises:
        InputError: none or several were given, or a file cannot be used.
    """
    given = [
        name for name, value in (("PROMPT", prompt), ("--file", file), ("--messages", messages)) if value is not None
    ]
    if not given:
        raise InputError("There is no prompt: give one, or - for standard input, or --file FILE, or --messages FILE.")
    if len(given) > 1:
        raise InputError(f"There is more than one prompt ({' and '.join(given)}): give one of them.")
    if messages is not None:
        return _chat(messages)
    if file is not None:
        return _text(file)
    if prompt == "-":
        return _decoded(sys.stdin.buffer.read(), "Standard input")
    assert prompt is not None
    return _text(Path(prompt)) if _means_file(prompt) else prompt


def _means_file(prompt: str) -> bool:
    """Whether a prompt that is a file's name means its contents: on a terminal the user decides, elsewhere no."""
    try:
        if prompt.split() != [prompt] or not Path(prompt).is_file():
            return False
    except OSError:  # longer than a file's name may be
        return False
    if sys.stdin.isatty() and sys.stderr.isatty():
        return typer.confirm(f"{prompt} is a file. Is the question in it?", default=True, err=True)
    note(f"{prompt} is the name of a file; tpo answers the name as the question. --file {prompt} reads the file")
    return False


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"The file {path} cannot be read: {error.strerror}.") from error
    return _decoded(data, f"The file {path}")


def _decoded(data: bytes, what: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{what} is not UTF-8 (byte {error.start}): save it as UTF-8.") from error


def _chat(path: Path) -> list[dict[str, Any]]:
    shape = '[{"role": "user", "content": "…"}]'
    try:
        value = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}, line {error.lineno}: this is not JSON ({error.msg}); {shape} is expected."
        ) from error
    if isinstance(value, dict):  # the body of a chat request
        value = value.get("messages")
    if not isinstance(value, list):
        raise InputError(f"{path} holds no chat messages: {shape} is expected.")
    return value
