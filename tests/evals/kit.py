"""Where the evaluation data lies that is not part of the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("TPO_DATA") or Path(__file__).parents[2].parent / "shared" / "data")


def data(name: str) -> Path:
    """A file of the evaluation data; skips the test without it."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the evaluation data is not here: {path} (set TPO_DATA)")
    return path
