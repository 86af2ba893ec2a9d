"""Plain text, and standard input."""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runs.reading.kit import everything, survived, texts, written
from tpo.errors import InputError
from tpo.runs.reading import open_data
from tpo.runs.rows import BadRow

LINE = st.text(st.characters(exclude_characters="\0\n\r", exclude_categories=["Cs"])).filter(str.strip)


class Piped(io.TextIOWrapper):
    """Standard input with bytes in it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))


def test_lines(tmp_path: Path) -> None:
    rows = everything(written(tmp_path, "p.txt", "one\r\n\r\n  two\u2028still two \n".encode() + b"\xff\n"))
    assert [row.where for row in rows] == ["p.txt, line 1", "p.txt, line 3", "p.txt, line 4"]
    assert isinstance(rows[2], BadRow) and "not UTF-8" in rows[2].reason
    assert texts(written(tmp_path, "p.txt", "one\n  two\u2028still two \n")) == ["one", "  two\u2028still two "]


def test_no_columns_to_choose(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no column 'x'; it has 'prompt'"):
        open_data(written(tmp_path, "p.txt", "one"), column="x")


@settings(deadline=None)
@given(st.lists(LINE, min_size=1), st.sampled_from(["\n", "\r\n"]), st.sampled_from(["", "\ufeff"]))
def test_what_was_written_comes_back(prompts: list[str], end: str, mark: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if not mark and prompts[0].startswith("\ufeff"):
            prompts[0] = prompts[0].lstrip("\ufeff") or "x"
        if prompts[0].strip():
            assert texts(written(Path(folder), "p.txt", mark + end.join(prompts))) == prompts


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_are_survived(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        survived(written(Path(folder), "p.txt", data))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"one\n{two}\n", ["one", "{two}"]),
        (b'\xef\xbb\xbf\n {"prompt": "one"}\n{"prompt": "two"}', ["one", "two"]),
        (b'[\n {"prompt": "one"}\n]', ["one"]),
        (b'[{"prompt": "one"}]', ["one"]),
        (b"[INST] one\n", ["[INST] one"]),
    ],
)
def test_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, expected: list[str]) -> None:
    monkeypatch.setattr(sys, "stdin", Piped(data))
    spool = tmp_path / "input"
    source = open_data("-", spool=spool)
    assert source.name == "standard input"
    for _ in range(2):
        assert [row.where.split(",")[0] for row in source.rows()] == ["standard input"] * len(expected)
    assert spool.read_bytes() == data
    assert list(tmp_path.iterdir()) == [spool]
    for again in (b"", data):  # after a crash, with nothing piped in or with the same
        monkeypatch.setattr(sys, "stdin", Piped(again))
        assert texts("-", spool=spool) == expected
        monkeypatch.setattr(sys, "stdin", Piped(b""))
    monkeypatch.setattr(sys, "stdin", Piped(b"something else"))
    with pytest.raises(InputError, match="not what this run was started with"):
        open_data("-", spool=spool)
    assert spool.read_bytes() == data


def test_broken_json_is_not_taken_for_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Piped(b'{"prompt": "one"\n{"prompt": "two"}'))
    first, _ = open_data("-", spool=tmp_path / "input").rows()
    assert isinstance(first, BadRow)


def test_standard_input_that_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Piped(b"one"))
    with pytest.raises(InputError, match="cannot be kept"):
        open_data("-", spool=tmp_path / "no" / "input")
    with pytest.raises(InputError, match="cannot be read twice"):
        open_data("-")


def test_nothing_is_kept_of_an_empty_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Piped(b""))
    with pytest.raises(InputError, match="is empty"):
        open_data("-", spool=tmp_path / "input")
    monkeypatch.setattr(sys, "stdin", Piped(b"one"))
    assert texts("-", spool=tmp_path / "input") == ["one"]
