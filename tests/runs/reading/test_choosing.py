"""Names that lead to data, and names that do not."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from runs.reading.kit import texts, without, written
from tpo.errors import InputError
from tpo.runs.reading import open_data


@pytest.mark.parametrize(
    "spec",
    [
        "no.jsonl",
        "no/such.csv",
        "no/such.jsonl.gz",
        "/no/such",
        "./no",
        "../no/such",
        "~/no/such",
        "no",
        "a/b/c",
        "a\\b",
    ],
)
def test_a_path_that_leads_nowhere(spec: str) -> None:
    with pytest.raises(InputError, match="There is no file or folder"):
        open_data(spec)


def test_a_folder_before_the_name_makes_it_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    with pytest.raises(InputError, match="There is no file or folder data/prompts"):
        open_data("data/prompts")


@pytest.mark.parametrize("spec", ["", " ", "a\0b"])
def test_no_name(spec: str) -> None:
    with pytest.raises(InputError, match="has no name"):
        open_data(spec)


def test_formats_go_by_the_ending(tmp_path: Path) -> None:
    assert texts(written(tmp_path, "P.JSONL", '{"prompt": "x"}')) == ["x"]
    for name in ("p", "p.xml", "p.gz"):
        with pytest.raises(InputError, match=r"not known by its ending: \.jsonl"):
            open_data(written(tmp_path, name, "x"))


def test_a_file_has_no_splits(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--split test means nothing"):
        open_data(written(tmp_path, "p.txt", "x"), split="test")


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is empty"):
        open_data(str(tmp_path))


@pytest.mark.skipif(sys.platform == "win32", reason="needs named pipes")
def test_a_pipe_cannot_be_read_twice(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.jsonl")
    with pytest.raises(InputError, match="no plain file"):
        open_data(str(tmp_path / "p.jsonl"))


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs a user who may not read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    spec = written(tmp_path, "p.jsonl", "{}")
    Path(spec).chmod(0)
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        open_data(spec)


OPEN = """
from tpo.errors import InputError
from tpo.runs.reading import open_data
try:
    open_data({spec!r})
except InputError as error:
    print(error)
"""


def test_libraries_that_are_not_there(tmp_path: Path) -> None:
    said = without(["pyarrow"], OPEN.format(spec=written(tmp_path, "p.parquet", "x")))
    assert said.endswith("needs pyarrow: pip install 'tpo[datasets]'.")
    said = without(["datasets"], OPEN.format(spec="org/name"))
    assert said == "Reading org/name needs the library datasets: pip install 'tpo[datasets]'."


def test_importing_stays_light() -> None:
    code = "import tpo.runs.reading; print(sorted({'datasets', 'pyarrow', 'pandas', 'numpy'} & set(sys.modules)))"
    assert without([], code) == "[]"
