"""The trace file of one query: begun anew, or continued where an earlier process stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from tpo.engine.journal import Journal, mend, read_journal
from tpo.engine.past import Past
from tpo.engine.records import Plan
from tpo.errors import JournalError


def trace_journal(path: Path | None, plan: Plan, on_note: Callable[[str], None]) -> Journal:
    """Open the journal of a query.

    Args:
        path: the trace file; None keeps the journal in memory.
        plan: what is about to run.
        on_note: called with each sentence that a user should read.

    Raises:
        JournalError: the file cannot be written, or is no trace.
    """
    if path is None or not path.is_file() or path.stat().st_size == 0:
        return Journal(path)
    try:
        records, torn = read_journal(path)
    except JournalError as error:
        # It may be a file that somebody mistyped, or a damaged trace with answers that were paid for.
        raise JournalError(f"{error} Nothing was overwritten: name another file for the trace.") from error
    past = Past(records)
    if past.finished:
        return Journal(path)
    if msgspec.json.encode(past.plan) != msgspec.json.encode(plan):
        on_note(f"{path} held the beginning of another run; it is replaced.")
        return Journal(path)
    if torn:
        on_note(torn)
        mend(path)
    on_note(f"{path} holds the beginning of this very run: going on from there.")
    return Journal(path, records)
