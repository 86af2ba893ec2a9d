"""CSV and TSV."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runs.reading.kit import everything, queries, survived, texts, written
from tpo.errors import InputError
from tpo.runs.reading import open_data
from tpo.runs.rows import BadRow, QueryRow

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def test_quoted_line_breaks_and_where_a_row_starts(tmp_path: Path) -> None:
    data = b'\xef\xbb\xbfid,prompt\r\n1,"two\r\nlines"\r\n\r\n2,"a ""quote"", and a comma"\r\n3,too,many\r\n4\r\n5,last'
    rows = everything(written(tmp_path, "p.csv", data))
    assert [row.where for row in rows] == [f"p.csv, line {line}" for line in (2, 5, 6, 7, 8)]
    assert [row.messages[0]["content"] for row in rows if isinstance(row, QueryRow)] == [
        "two\r\nlines",
        'a "quote", and a comma',
        "last",
    ]
    assert [row.reason.split(":")[0] for row in rows if isinstance(row, BadRow)] == [
        "The row has 3 fields where the header has 2",
        "The row has 1 fields where the header has 2",
    ]


def test_a_header_is_needed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no column known to hold a query .* it has 'What is six times seven\?', 'a'"):
        open_data(written(tmp_path, "p.csv", "What is six times seven?,a\nWhy?,b\n"))
    with pytest.raises(InputError, match="more than one column called 'prompt'"):
        open_data(written(tmp_path, "p.csv", "prompt,prompt\na,b\n"))
    with pytest.raises(InputError, match="has no rows"):
        open_data(written(tmp_path, "p.csv", "prompt\n"))


def test_stray_quotes(tmp_path: Path) -> None:
    rows = everything(written(tmp_path, "p.csv", 'prompt\n"one" more\ntwo\n"three'))
    assert [type(row) for row in rows] == [BadRow, QueryRow, BadRow]
    with pytest.raises(InputError, match=r"p\.csv, line 2: a quote is opened .* up to line 4"):
        everything(written(tmp_path, "p.csv", 'prompt\n"one\ntwo\nthree\n'))


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    rows = everything(written(tmp_path, "p.csv", b"prompt,note\ncaf\xe9,\nfine,caf\xe9\nnul\0,\n"))
    assert [type(row) for row in rows] == [BadRow, QueryRow, BadRow]
    assert isinstance(rows[0], BadRow) and "UTF-8" in rows[0].reason
    assert isinstance(rows[2], BadRow) and "NUL" in rows[2].reason


def test_delimiters(tmp_path: Path) -> None:
    assert texts(written(tmp_path, "p.csv", "id;prompt\na;one, two\n")) == ["one, two"]
    assert texts(written(tmp_path, "p.tsv", "id\tprompt\na\tone, two\n")) == ["one, two"]


def test_a_long_field_and_compression(tmp_path: Path) -> None:
    data = gzip.compress(f"prompt\n{'x' * 1_000_000}\n".encode())
    assert [len(text) for text in texts(written(tmp_path, "p.csv.gz", data))] == [1_000_000]


def test_messages_as_json(tmp_path: Path) -> None:
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    out = io.StringIO()
    csv.writer(out).writerows([["messages"], [json.dumps(chat)]])
    assert queries(written(tmp_path, "p.csv", out.getvalue())) == [chat]
    rows = everything(written(tmp_path, "p.csv", 'messages\nHello\n{}\n""\n'))
    assert [type(row) for row in rows] == [BadRow] * 3


@settings(deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT.filter(str.strip)), min_size=1), st.sampled_from(["excel", "excel-tab", "unix"]))
def test_what_a_writer_wrote_comes_back(rows: list[tuple[str, str]], dialect: str) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, dialect).writerows([["note", "prompt"], *rows])
    with tempfile.TemporaryDirectory() as folder:
        name = "p.tsv" if dialect == "excel-tab" else "p.csv"
        assert texts(written(Path(folder), name, out.getvalue())) == [prompt for _, prompt in rows]


@settings(deadline=None)
@given(
    st.binary() | st.text('",;\n\ra\0').map(str.encode),
    st.sampled_from([b"", b"prompt\n", b"id,prompt\n", b"prompt;id\r"]),
)
def test_any_bytes_are_survived(data: bytes, start: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("p.csv", "p.tsv", "p.csv.gz"):
            survived(written(Path(folder), name, start + data))
