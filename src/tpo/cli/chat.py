"""`tpo chat`: several turns, each answer aligned."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tpo.cli.console import INTERRUPTED, noting, print_answer, reporting, stderr
from tpo.cli.flags import search_options, takes
from tpo.cli.interrupts import interruptible
from tpo.options import SearchOptions
from tpo.options.groups import OUTPUT

if TYPE_CHECKING:
    from tpo.session.spec import Options


@reporting
@takes(SearchOptions)
def chat(
    context: typer.Context,
    system: Annotated[
        str | None, typer.Option(help="A system message.", metavar="MESSAGE", rich_help_panel=OUTPUT)
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr.", rich_help_panel=OUTPUT)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=OUTPUT)] = False,
    **flags: Any,
) -> None:
    """Chat over several turns; each answer is aligned and becomes part of the conversation.

    An empty line, Ctrl-D or Ctrl-C ends the chat. During a search, Ctrl-C ends the search with the best answer so far.
    """
    options = search_options(context, flags, noting(quiet=quiet))
    try:
        asyncio.run(_chat(options, system, quiet))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


async def _chat(options: Options, system: str | None, quiet: bool) -> None:
    from tpo.cli.live import view_of
    from tpo.engine.limits import Stopper
    from tpo.errors import TPOError
    from tpo.models.fleet import pace_for_one
    from tpo.session.session import Session

    # The handler of asyncio only cancels a task, and a task that waits for a line of input does not see that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    async with Session(pace=pace_for_one, on_note=noting(quiet=quiet), **options) as session:
        for question in _questions():
            turn = [*messages, {"role": "user", "content": question}]
            stopper = Stopper()

            def stop(stopper: Stopper = stopper) -> bool:
                stopper.stop("interrupt")
                return True

            try:
                with interruptible(stop), view_of(stderr, quiet) as view:
                    result = await session.align(turn, stopper=stopper, on_event=view.listen, alone=True)
            except TPOError as error:
                noting(quiet=False)(f"error: {error}")
                if error.partial is None or not error.partial.answer:  # the conversation continues without this turn
                    continue
                result = error.partial
            print_answer(result.answer)
            messages = [*turn, {"role": "assistant", "content": result.answer}]


def _questions() -> Iterator[str]:
    """What the user types, or the lines of a pipe."""
    while True:
        if sys.stdin.isatty():
            stderr.print("> ", end="")
        line = sys.stdin.readline()
        if not line.strip():
            return
        yield line.strip()
