"""What the tests of reading share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tpo.errors import InputError
from tpo.messages import Conversation
from tpo.runs.reading import open_data
from tpo.runs.rows import BadRow, QueryRow


def written(folder: Path, name: str, content: bytes | str) -> str:
    """A file with a content; its path, as a user gives it."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def everything(spec: str, **options: Any) -> list[QueryRow | BadRow]:
    """All rows of some data, which are the same when it is read again."""
    source = open_data(spec, **options)
    rows = list(source.rows())
    assert list(source.rows()) == rows
    assert [row.number for row in rows] == list(range(len(rows)))
    return rows


def queries(spec: str, **options: Any) -> list[Conversation]:
    """The messages of all rows, of which none is bad."""
    return [row.messages for row in good(everything(spec, **options))]


def good(rows: list[QueryRow | BadRow]) -> list[QueryRow]:
    """The rows, of which none is bad."""
    assert not [row for row in rows if isinstance(row, BadRow)]
    return [row for row in rows if isinstance(row, QueryRow)]


def texts(spec: str, **options: Any) -> list[str]:
    """The texts of all rows, each of which is a question and nothing else."""
    found = queries(spec, **options)
    assert all(len(messages) == 1 and messages[0]["role"] == "user" for messages in found)
    return [messages[0]["content"] for messages in found]


def only_reason(spec: str, **options: Any) -> str:
    """Why the only row is bad."""
    (row,) = everything(spec, **options)
    assert isinstance(row, BadRow)
    return row.reason


def survived(spec: str, **options: Any) -> None:
    """Read all rows, whatever they are; only an InputError may come of it."""
    try:
        everything(spec, **options)
    except InputError as error:
        assert "\n" not in str(error).strip()


def without(libraries: list[str], code: str) -> str:
    """What a Python without some libraries says to some code."""
    blocked = "".join(f"sys.modules[{name!r}] = None\n" for name in libraries)
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys\n{blocked}{code}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()
