"""The trace file of one query: begun anew, or continued where an earlier process stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from tpo.engine.journal import Journal, TraceFile, read_journal
from tpo.engine.records import Plan, Record
from tpo.engine.state import SearchState
from tpo.errors import JournalError


def trace_journal(path: Path | None, plan: Plan, on_note: Callable[[str], None], *, finished: bool = False) -> Journal:
    """Open the journal of a query.

    A trace of the same plan that was broken off is continued; a trace of another plan is replaced, and so is that of a
    finished search unless `finished` keeps it.

    Args:
        path: the trace file; None keeps the journal in memory.
        plan: what is about to run.
        on_note: called with each sentence that a user should read.
        finished: keep the trace of a finished search, which is then replayed without any call.

    Raises:
        InputError: another process, or another query, writes to the file.
        JournalError: the file cannot be written, or holds something that is no trace and is left as it is.
    """
    if path is None:
        return Journal()
    file = TraceFile(path)  # locked before it is read, so that it cannot grow meanwhile
    try:
        return Journal(file, _continued(path, file, plan, on_note, finished))
    except BaseException:
        file.close()
        raise


def _continued(path: Path, file: TraceFile, plan: Plan, on_note: Callable[[str], None], finished: bool) -> list[Record]:
    """The records to go on from; the file is emptied where there are none."""
    if not path.is_file() or path.stat().st_size == 0:
        return []
    try:
        records, torn = read_journal(path)
    except JournalError as error:
        if _is_torn_beginning(path.read_bytes()):
            on_note(f"The first line of {path} was torn: nothing was recorded, and the search begins anew.")
            file.cut(0)
            return []
        # It may be a file whose name was mistyped, or a damaged trace with answers that were paid for.
        raise JournalError(f"{error} Nothing was overwritten: name another file for the trace.") from error
    state = SearchState(records)
    same = msgspec.json.encode(state.plan) == msgspec.json.encode(plan)
    if (state.finished and not finished) or not same:
        if not state.finished:
            on_note(f"{path} held an unfinished search with another plan; it is replaced.")
        file.cut(0)
        return []
    if torn:
        on_note(torn)
        file.cut(path.read_bytes().rfind(b"\n") + 1)
    on_note(f"{path} holds the beginning of this search, which continues from there.")
    return records


_BEGINNING = b'{"record":"started"'


def _is_torn_beginning(data: bytes) -> bool:
    """Whether a trace holds no more than a part of its first line."""
    return b"\n" not in data and (data.startswith(_BEGINNING) or _BEGINNING.startswith(data))
