"""Datasets of Hugging Face, from folders: what reads them is what reads the Hub."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runs.reading.kit import everything, good, queries, texts, without, written
from tpo.errors import InputError
from tpo.runs.reading import open_data
from tpo.runs.reading.tables import hub_dataset
from tpo.runs.rows import BadRow

datasets = pytest.importorskip("datasets", reason="pip install 'tpo[datasets]'")

CARD = """---
configs:
- config_name: main
  data_files: [{split: train, path: main/train.jsonl}, {split: test, path: main/test.jsonl}]
- config_name: small
  data_files: [{split: test, path: small/test.jsonl}]
---
"""


@pytest.fixture
def laid_out(tmp_path: Path) -> Path:
    """A folder laid out as a dataset is on the Hub."""
    folder = tmp_path / "set"
    for path in ("main/train", "main/test", "small/test"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps({"question": f"{path} {number}", "id": number}) for number in range(3)]
        written(folder, f"{path}.jsonl", "\n".join(lines))
    written(folder, "README.md", CARD)
    return folder


def test_configs_and_splits(laid_out: Path) -> None:
    expected = [f"small/test {number}" for number in range(3)]
    assert texts(f"{laid_out}:small") == expected
    with pytest.raises(InputError, match="several splits: name one of 'train', 'test' with --split"):
        open_data(f"{laid_out}:main")
    assert texts(f"{laid_out}:main", split="train")[0] == "main/train 0"
    with pytest.raises(InputError, match="no split 'dev'; it has 'train', 'test'"):
        open_data(f"{laid_out}:main", split="dev")
    with pytest.raises(InputError, match=r"(?i)config name is missing.*org/name:config"):
        open_data(str(laid_out))
    with pytest.raises(InputError, match="'large'"):
        open_data(f"{laid_out}:large")


def test_rows_of_a_stream(laid_out: Path) -> None:
    rows = good(everything(f"{laid_out}:small"))
    assert [row.id for row in rows] == ["0", "1", "2"]
    assert rows[2].where == f"{laid_out}:small, row 3"
    table = hub_dataset(str(laid_out), "small", None, "org/set:small")
    assert table.name == "org/set:small" and table.columns() == ["question", "id"]
    with pytest.raises(InputError, match="has no column 'turn'; it has 'question', 'id'"):
        open_data(f"{laid_out}:small", column="turn")


def test_a_stream_that_breaks_off(tmp_path: Path) -> None:
    lines = ['{"prompt": "x"}'] * 3
    written(tmp_path, "train.jsonl", "\n".join([*lines, '{"prompt": ']))
    with pytest.raises(InputError, match=r"The dataset .* cannot be read"):
        everything(str(tmp_path))


def test_saved_to_disk(tmp_path: Path) -> None:
    chats = [[{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}], None]
    one = datasets.Dataset.from_dict({"messages": chats, "id": ["a", "b"]})
    one.save_to_disk(str(tmp_path / "one"))
    first, second = everything(str(tmp_path / "one"))
    assert good([first])[0].messages == [{"role": "user", "content": "Why?"}]
    assert isinstance(second, BadRow) and "is empty" in second.reason
    both = datasets.DatasetDict({"train": one.select([0]), "test": one.select([0])})
    both.save_to_disk(str(tmp_path / "both"))
    with pytest.raises(InputError, match="several splits: name one of 'train', 'test'"):
        open_data(str(tmp_path / "both"))
    assert len(queries(str(tmp_path / "both"), split="test")) == 1
    (tmp_path / "both" / "test" / "state.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        open_data(str(tmp_path / "both"), split="test")


def test_a_folder_without_data(tmp_path: Path) -> None:
    written(tmp_path, "notes.xyz", "x")
    with pytest.raises(InputError, match=r"The dataset .* cannot be read"):
        open_data(str(tmp_path))


def test_the_hub_out_of_reach() -> None:
    code = (
        "from tpo.errors import InputError\nfrom tpo.runs.reading import open_data\n"
        "try:\n    open_data('org/name:config')\nexcept InputError as error:\n    print(error)"
    )
    said = without([], code)
    assert said.startswith("The dataset org/name:config cannot be read: ") and "\n" not in said
