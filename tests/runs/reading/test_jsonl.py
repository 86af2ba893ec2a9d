"""JSON lines, and a JSON list."""

from __future__ import annotations

import gzip
import json
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runs.reading.kit import everything, only_reason, survived, texts, written
from tpo.errors import InputError
from tpo.runs.reading import open_data
from tpo.runs.rows import BadRow, QueryRow

PROMPTS = st.lists(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])).filter(str.strip), min_size=1
)


def test_rows_name_where_they_are(tmp_path: Path) -> None:
    data = b'\xef\xbb\xbf{"prompt": "one", "id": "a"}\r\n\r\n  \n{"prompt": "two", "id": 7}\n[1]\n'
    data += b'{"prompt": "thr\xff"}\n{oh\n"x"'
    rows = everything(written(tmp_path, "p.jsonl", data))
    assert [row.where for row in rows] == [f"p.jsonl, line {line}" for line in (1, 4, 5, 6, 7, 8)]
    assert [row.id for row in rows if isinstance(row, QueryRow)] == ["a", "7"]
    reasons = [row.reason for row in rows if isinstance(row, BadRow)]
    assert "is a list, not an object" in reasons[0]
    assert "not UTF-8 (byte 15 of it)" in reasons[1]
    assert "no JSON" in reasons[2] and "character 2" in reasons[2]
    assert "is text, not an object" in reasons[3]


UNUSABLE = [
    ('{"messages": ' + '[{"a":' * 100 + "1" + "}]" * 100 + "}", "has the role None"),
    ('{"prompt": "\\ud800"}', "half a character"),
    ('{"prompt": "a\\u0000b"}', "NUL"),
    ('{"prompt": NaN}', "is empty"),
    ('{"prompt": null}', "is empty"),
    ('{"prompt": " "}', "no text"),
    ('{"prompt": 42}', "is a number"),
    ('{"prompt": {}}', "is an object"),
]
UNREADABLE = [("[" * 200_000, "nested too deeply"), ('{"prompt": ' + "9" * 5000 + "}", "4300")]


@pytest.mark.parametrize(("line", "reason"), [*UNUSABLE, *UNREADABLE])
def test_a_row_that_cannot_be_used(tmp_path: Path, line: str, reason: str) -> None:
    assert reason in only_reason(written(tmp_path, "p.jsonl", line))


@pytest.mark.parametrize(("entry", "reason"), UNUSABLE)
def test_an_entry_that_cannot_be_used(tmp_path: Path, entry: str, reason: str) -> None:
    assert reason in only_reason(written(tmp_path, "p.json", f"[{entry}]"))


@pytest.mark.parametrize(("entry", "reason"), UNREADABLE)
def test_an_entry_that_ends_the_list(tmp_path: Path, entry: str, reason: str) -> None:
    with pytest.raises(InputError, match=f"at or after entry 1: .*{reason}"):
        everything(written(tmp_path, "p.json", f"[{entry}]"))


def test_a_backslash_before_u0000_is_no_nul(tmp_path: Path) -> None:
    assert texts(written(tmp_path, "p.jsonl", json.dumps({"prompt": "write \\u0000"}))) == ["write \\u0000"]


def test_nan_in_another_column_is_fine(tmp_path: Path) -> None:
    assert texts(written(tmp_path, "p.jsonl", '{"prompt": "x", "score": NaN}')) == ["x"]


@pytest.mark.parametrize("name", ["p.jsonl", "p.json"])
def test_a_long_row(tmp_path: Path, name: str) -> None:
    rows = [{"prompt": "x" * 10_000_000}, {"prompt": "y"}]
    content = json.dumps(rows) if name == "p.json" else "\n".join(map(json.dumps, rows))
    assert [len(text) for text in texts(written(tmp_path, name, content))] == [10_000_000, 1]


@pytest.mark.parametrize("shape", ["jsonl", "json"])
def test_a_large_file_is_not_held(tmp_path: Path, shape: str) -> None:
    line = json.dumps({"prompt": "x" * 1000})
    body = ",\n".join([line] * 10_000) if shape == "json" else "\n".join([line] * 10_000)
    source = open_data(written(tmp_path, f"p.{shape}", f"[{body}]" if shape == "json" else body))
    del body
    tracemalloc.start()
    assert sum(1 for _ in source.rows()) == 10_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_compressed(tmp_path: Path) -> None:
    data = gzip.compress(json.dumps({"prompt": "packed"}).encode())
    assert texts(written(tmp_path, "p.jsonl.gz", data)) == ["packed"]
    for damaged in (data[:-9], data[:12], data[:20] + b"\0\0\0\0" + data[24:]):
        with pytest.raises(InputError, match=r"p\.jsonl\.gz (is damaged or cut off|cannot be read)"):
            everything(written(tmp_path, "p.jsonl.gz", damaged))


@pytest.mark.parametrize("content", ["", "\n \r\n", "\ufeff"])
@pytest.mark.parametrize("name", ["p.jsonl", "p.json", "p.txt", "p.csv"])
def test_nothing_in_it(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(InputError, match="has no rows"):
        open_data(written(tmp_path, name, content))


def test_an_empty_list(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no rows"):
        open_data(written(tmp_path, "p.json", " [ ] "))


def test_utf_16(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="UTF-16"):
        open_data(written(tmp_path, "p.jsonl", '{"prompt": "x"}'.encode("utf-16")))


def test_lines_in_a_json_file(tmp_path: Path) -> None:
    assert texts(written(tmp_path, "p.json", '{"prompt": "one"}\n{"prompt": "two"}')) == ["one", "two"]


def test_one_object_over_lines_is_no_list(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no list of rows"):
        open_data(written(tmp_path, "p.json", json.dumps({"a": {"prompt": "x"}}, indent=1)))


@pytest.mark.parametrize("tail", ["", ",", ", {", ", {}", "] more", " {}]", ", ]"])
def test_a_broken_list(tmp_path: Path, tail: str) -> None:
    with pytest.raises(InputError, match=r"cannot be read at or after entry|goes on after the end"):
        everything(written(tmp_path, "p.json", f'[{{"prompt": "x"}}{tail}'))


def test_an_entry_that_is_no_object(tmp_path: Path) -> None:
    rows = everything(written(tmp_path, "p.json", '[{"prompt": "x"}, 1, {"prompt": "y"}]'))
    assert [type(row) for row in rows] == [QueryRow, BadRow, QueryRow]
    assert rows[1].where == "p.json, entry 2"


@settings(deadline=None)
@given(PROMPTS, st.booleans(), st.sampled_from(["\n", "\r\n"]), st.sampled_from(["", "\ufeff"]))
def test_what_a_writer_wrote_comes_back(prompts: list[str], ascii_only: bool, end: str, mark: str) -> None:
    lines = [json.dumps({"prompt": prompt}, ensure_ascii=ascii_only) for prompt in prompts]
    with tempfile.TemporaryDirectory() as folder:
        assert texts(written(Path(folder), "p.jsonl", mark + end.join(lines))) == prompts
        assert texts(written(Path(folder), "p.json", f"{mark}[{f',{end}'.join(lines)}]")) == prompts


@settings(deadline=None)
@given(st.lists(st.recursive(st.none() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5)))
def test_any_json_is_a_row_or_a_bad_row(values: list[object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        survived(written(Path(folder), "p.jsonl", "\n".join(json.dumps({"prompt": value}) for value in values)))
        survived(written(Path(folder), "p.json", json.dumps(values)))


@settings(deadline=None)
@given(st.binary(), st.sampled_from([b"", b"[", b"{", b'{"prompt": "', b"\x1f\x8b", b'[{"prompt": "x"}, ']))
def test_any_bytes_are_survived(data: bytes, start: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("p.jsonl", "p.json", "p.ndjson.gz"):
            survived(written(Path(folder), name, start + data))
