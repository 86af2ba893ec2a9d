"""Standard input, kept in a file: a run reads its data more than once, and again after a crash."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import sys
from pathlib import Path

from tpo.errors import InputError
from tpo.runs.reading.json_list import JsonList
from tpo.runs.reading.jsonl import JsonLines
from tpo.runs.reading.opening import start
from tpo.runs.reading.plain import PlainText
from tpo.runs.reading.records import Table

NAME = "standard input"
# How JSON begins, and hardly any prompt: a file of broken JSON must not be taken for prompts.
_OBJECT = re.compile(rb'\{\s*(["}]|$)')
_LIST = re.compile(rb"\[\s*(\{|$)")


def standard_input(spool: Path | None) -> Table:
    """The data in standard input: JSON lines or a JSON list by how it begins, else a prompt a line.

    Args:
        spool: where it is kept. If it is there from an earlier start, nothing new need come in.

    Raises:
        InputError: there is no place to keep it, it cannot be kept, or it is not what was kept earlier.
    """
    if spool is None:
        raise InputError("Standard input cannot be read twice: save it to a file and give that.")
    if not spool.exists() or not sys.stdin.isatty():
        try:
            _keep(spool)
        except OSError as error:
            raise InputError(f"Standard input cannot be kept in {spool}: {error.strerror or error}.") from error
    return _by_its_start(spool)


def _keep(spool: Path) -> None:
    part = spool.with_name(f"{spool.name}.part")
    with part.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
        os.fsync(file.fileno())
    if part.stat().st_size == 0 and not spool.exists():
        part.unlink()
        raise InputError("Standard input is empty: pipe in a prompt a line, or JSON lines.")
    # The file gets its name when it is whole: after a crash, what has the name can be trusted.
    if not spool.exists():
        part.replace(spool)
        return
    new = part.stat().st_size > 0 and not filecmp.cmp(part, spool, shallow=False)
    part.unlink()
    if new:
        raise InputError(
            f"Standard input is not what this run was started with, which is kept in {spool}: "
            "give the same, or nothing, or choose another --out."
        )


def _by_its_start(spool: Path) -> Table:
    first = start(spool)
    if _LIST.match(first):
        return JsonList(spool, NAME)
    if _OBJECT.match(first):
        return JsonLines(spool, NAME)
    return PlainText(spool, NAME)
