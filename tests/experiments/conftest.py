from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.kit import FILE


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """As without Matplotlib: drawing takes longer than all else."""
    monkeypatch.setattr("tpo.experiments.report.find_spec", lambda name: None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An experiment over five prompts that forbid commas."""
    rows = [
        {"key": n, "prompt": f"Prompt {n}", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
        for n in range(5)
    ]
    (tmp_path / "ifeval").mkdir()
    (tmp_path / "ifeval" / "input_data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    path = tmp_path / "experiment.toml"
    path.write_text(FILE)
    return path
