"""The pairs of a run train a model: examples/train_dpo.py with TRL on the CPU, on a tiny random model."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tpo
from fakes import FakeModel
from hf import small
from scripts import script
from tpo.options import ExportFormat, ExportOptions
from tpo.runs.export import Export, write_file
from tpo.runs.history import histories

pytestmark = pytest.mark.hf


def longest(conversations: list[list[dict[str, Any]]]) -> list[float]:
    return [float(len(messages[-1]["content"])) for messages in conversations]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """The file that `tpo export --format dpo` writes of a real run."""
    counter = itertools.count(1)
    data, run, out = tmp_path / "questions.jsonl", tmp_path / "run", tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps({"prompt": f"How do I clean rug {number}?"}) + "\n" for number in range(4)))
    tpo.run_dataset_sync(
        data,
        run,
        policy=FakeModel(lambda request, index: "It is " + "very " * next(counter) + "clean."),
        method="best-of-n",
        width=3,
        reward=longest,
        check=False,
    )
    options = ExportOptions(format=ExportFormat.DPO)
    write_file(Export(options).of(histories(run)), out, options, run)
    assert len(out.read_text().splitlines()) == 4
    return out


def test_pairs_train_a_model(make: Callable[[str], Path], pairs: Path, tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="TRL is not installed: run `make test-hf`")
    import torch
    import transformers

    folder, out = tmp_path / "policy", tmp_path / "trained"
    small.write(folder, small.transformer("Llama", "ForCausalLM", pad_token_id=2), small.tokenizer())
    loss = script("examples/train_dpo.py").main(pairs, str(folder), out, steps=2)
    assert math.isfinite(loss)
    before, after = (transformers.AutoModelForCausalLM.from_pretrained(place) for place in (folder, out))
    changed = [not torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True)]
    assert any(changed)
