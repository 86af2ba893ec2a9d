"""`tpo replay`: the result of an earlier run, from its trace and without any call."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tpo.cli.console import note, print_answer, print_json, reporting
from tpo.errors import JournalError


@reporting
def replay(
    trace: Annotated[Path, typer.Argument(help="A file that `tpo align --trace` wrote.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole result as one JSON object.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Rebuild a search's result from its trace, without any call.

    From the trace of a search that was killed or failed, it prints the best answer so far.
    """
    from tpo.api import replay as rebuild
    from tpo.engine.records import Ended

    result = rebuild(trace, on_note=note)
    if as_json:
        print_json(result.to_dict())
    elif result.stop == "error" and not result.answer.strip():
        why = next((record.error for record in reversed(result.trace) if isinstance(record, Ended)), None)
        raise JournalError(f"The trace {trace} holds no answer: {why or 'its search failed.'}")
    else:
        print_answer(result.answer)
