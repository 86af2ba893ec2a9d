"""Every option, written once: type, default, bounds, help and group.

Flags, environment variables (`TPO_WIDTH`), tpo.toml, keyword arguments and the fields of requests are made from these
classes, or compared with them by a test. A field's annotation is its type with an `Option` beside it.
"""

from __future__ import annotations

from tpo.options.evals import EvalOptions, TableFormat
from tpo.options.option import Entry, Option, check, check_value, options_from, table
from tpo.options.runs import ClusterOptions, ExportFormat, ExportOptions, PairRule, RunOptions
from tpo.options.search import Effort, SearchOptions, default
from tpo.options.serve import KeyOptions, LogFormat, ServeOptions, ViewOptions

__all__ = [
    "ClusterOptions",
    "Effort",
    "Entry",
    "EvalOptions",
    "ExportFormat",
    "ExportOptions",
    "KeyOptions",
    "LogFormat",
    "Option",
    "PairRule",
    "RunOptions",
    "SearchOptions",
    "ServeOptions",
    "TableFormat",
    "ViewOptions",
    "check",
    "check_value",
    "configurable",
    "default",
    "options_from",
    "table",
]

# Options that only make sense for one call.
_OF_ONE_CALL = frozenset(["column", "split", "fresh", "retry_failed"])


def configurable() -> dict[str, list[Entry]]:
    """What tpo.toml and the environment may set: by the flag's name with underscores, the options that it sets."""
    entries: dict[str, list[Entry]] = {}
    for kind in (SearchOptions, RunOptions, ClusterOptions, EvalOptions, ServeOptions):
        for entry in table(kind).values():
            if entry.name not in _OF_ONE_CALL:
                entries.setdefault(entry.flag, []).append(entry)
    return entries
