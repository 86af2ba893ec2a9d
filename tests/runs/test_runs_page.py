"""docs/runs.md names every field that it documents."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tpo.engine.result import RoleUsage
from tpo.options import ExportFormat, ExportOptions
from tpo.runs.answers import Answer, First, StepRewards
from tpo.runs.directory import ANSWERS, CLOCK, IDENTITY, JOURNAL, LOCK, STDIN, SUMMARY
from tpo.runs.export import columns
from tpo.runs.status import State
from tpo.runs.summary import RunSummary, StepSummary
from tpo.stats import Estimate

PAGE = (Path(__file__).parents[2] / "docs" / "runs.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("struct", [Answer, First, StepRewards, RoleUsage, RunSummary, StepSummary, Estimate])
def test_each_field_is_named(struct: Any) -> None:
    named = set(re.findall(r"`(\w+)`", PAGE))
    assert set(struct.__struct_fields__) <= named


def test_each_file_state_and_column_is_named() -> None:
    named = set(re.findall(r"`([\w.]+)`", PAGE))
    assert {ANSWERS, CLOCK, IDENTITY, JOURNAL, LOCK, STDIN, SUMMARY} <= named
    assert {str(state) for state in State} <= named
    assert {column.name for format in ExportFormat for column in columns(ExportOptions(format=format))} <= named
