"""Parquet files and folders of them."""

from __future__ import annotations

import datetime
import random
from pathlib import Path
from typing import Any

import pytest

from runs.reading.kit import everything, queries, survived, texts, written
from tpo.errors import InputError
from tpo.runs.reading import open_data
from tpo.runs.rows import BadRow

pa = pytest.importorskip("pyarrow", reason="pip install 'tpo[datasets]'")
pq = pytest.importorskip("pyarrow.parquet", reason="pip install 'tpo[datasets]'")


def parquet(path: Path, columns: dict[str, list[Any]], **options: Any) -> str:
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), path, **options)
    return str(path)


def test_a_file(tmp_path: Path) -> None:
    prompts = [f"Question {number}" for number in range(1000)]
    spec = parquet(tmp_path / "p.parquet", {"prompt": prompts, "id": list(range(1000))}, row_group_size=300)
    rows = everything(spec)
    assert texts(spec) == prompts
    assert rows[999].where == "p.parquet, row 1000"
    with pytest.raises(InputError, match="no column known to hold a query"):
        open_data(parquet(tmp_path / "q.parquet", {"text": prompts}))
    with pytest.raises(InputError, match="has no rows"):
        open_data(parquet(tmp_path / "q.parquet", {"prompt": []}))


def test_messages_come_back_as_they_were_written(tmp_path: Path) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    chats = [
        [{"role": "user", "content": "Why?"}],
        [
            {"role": "user", "content": "Who?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "Ann", "tool_call_id": "c"},
        ],
    ]
    assert queries(parquet(tmp_path / "p.parquet", {"messages": chats})) == chats


def test_values_of_other_types(tmp_path: Path) -> None:
    far = pa.array([2**62], pa.timestamp("us"))  # a date that Python cannot hold, in a column nobody asks for
    assert texts(parquet(tmp_path / "p.parquet", {"prompt": ["x"], "when": far})) == ["x"]
    for value in ([None], [1.5], [float("nan")], [b"bytes"], [datetime.date(2024, 1, 1)], [["a"]]):
        (row,) = everything(parquet(tmp_path / "p.parquet", {"prompt": value}))
        assert isinstance(row, BadRow)


def test_a_folder(tmp_path: Path) -> None:
    parquet(tmp_path / "a" / "part-00000-of-00002.parquet", {"prompt": ["one"]})
    parquet(tmp_path / "a" / "part-00001-of-00002.parquet", {"prompt": ["two"]})
    (tmp_path / "a" / "_SUCCESS").touch()
    assert texts(str(tmp_path / "a")) == ["one", "two"]
    parquet(tmp_path / "b" / "train-00000-of-00001.parquet", {"prompt": ["one"]})
    parquet(tmp_path / "b" / "test.parquet", {"prompt": ["two"]})
    with pytest.raises(InputError, match="several splits: name one of 'test', 'train' with --split"):
        open_data(str(tmp_path / "b"))
    assert texts(str(tmp_path / "b"), split="test") == ["two"]
    with pytest.raises(InputError, match="no split 'dev'"):
        open_data(str(tmp_path / "b"), split="dev")


def test_damaged_files(tmp_path: Path) -> None:
    whole = Path(parquet(tmp_path / "p.parquet", {"prompt": [f"Question {n}" for n in range(200)]})).read_bytes()
    for damaged in (b"", b"PAR1", b"prompt\nno", whole[:-1], whole[: len(whole) // 2]):
        with pytest.raises(InputError, match="cannot be read as Parquet"):
            open_data(written(tmp_path, "p.parquet", damaged))
    chance = random.Random(0)
    for _ in range(200):
        damaged_at = bytearray(whole)
        for _ in range(4):
            damaged_at[chance.randrange(len(whole))] = chance.randrange(256)
        survived(written(tmp_path, "p.parquet", bytes(damaged_at)))
