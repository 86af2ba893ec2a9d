"""`hub:ORG/REPO[:FILE.gguf]`: a GGUF file of the Hugging Face Hub, fetched once and then used offline.

CACHE/hub/ORG--REPO/repository.json    the commit, licence and files, as the Hub listed them at the first fetch
CACHE/hub/ORG--REPO/FILE.gguf          checked files; FILE.gguf.SHA.part are files on their way
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from threading import Event

import msgspec

from tpo.errors import InputError, ModelError
from tpo.models.hub_download import (
    HUB,
    TIMEOUT,
    HubFile,
    HubSource,
    Progress,
    download,
    library,
    megabytes,
    refusal,
    size_of,
)
from tpo.models.weights import CACHE, cache

RECORD = "repository.json"
_REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# A model in several files: each part's name has its number and how many there are.
_PART = re.compile(r"(.*)-\d{5}-of-(\d{5})\.gguf", re.IGNORECASE)
_LISTED = 12


class Repository(HubSource, frozen=True):
    """A repository as the Hub described it once.

    Attributes:
        name: ORG/REPO.
        commit: what is fetched, so that files of a repository that changes go together.
        licence: as its card has it; empty where it has none.
        files: its GGUF files.
    """

    files: tuple[HubFile, ...]

    @property
    def folder(self) -> Path:
        """Where its files are kept."""
        return folder() / self.name.replace("/", "--")

    @property
    def models(self) -> tuple[HubFile, ...]:
        """The files that can be named: of a model in several parts the first, and no projectors for pictures."""
        return tuple(
            file
            for file in self.files
            if not PurePosixPath(file.name).name.lower().startswith("mmproj")
            and (not _PART.fullmatch(file.name) or "-00001-of-" in file.name)
        )

    def parts(self, file: HubFile) -> tuple[HubFile, ...]:
        """All files of a model, the named one first."""
        found = _PART.fullmatch(file.name)
        if found is None:
            return (file,)
        others = [one for one in self.files if (part := _PART.fullmatch(one.name)) and part.groups() == found.groups()]
        return tuple(sorted(others, key=lambda one: one.name))

    def size(self, file: HubFile) -> int:
        """Bytes of a model with all its parts."""
        return sum(part.size for part in self.parts(file))

    def kept(self, file: HubFile) -> bool:
        """Whether a model is in the cache as a whole."""
        return all(size_of(self.folder / part.name) == part.size for part in self.parts(file))


def folder() -> Path:
    """The folder of the cache that holds what was fetched from the Hub."""
    return cache() / "hub"


def fetch(spec: str, progress: Progress = lambda line: None, stop: Event | None = None) -> Path:
    """Find a model in the cache; fetch it first where it is not there.

    Args:
        spec: `hub:ORG/REPO` where the repository has one GGUF file, otherwise `hub:ORG/REPO:FILE`; of FILE a part that
            only one name has is enough, such as `Q4_K_M`.
        progress: called with a line about what takes long.
        stop: ends the fetch when it is set; what came is kept.

    Returns:
        The path of a GGUF file; of a model in several files, the first.

    Raises:
        InputError: the spec cannot be read, or names no file, or several.
        ModelError: the Hub cannot be reached or refuses, what came is damaged, or the cache cannot be written.
    """
    name, wanted = parse(spec)
    try:
        repository = cached(name)
        if repository is None or not _matching(repository, wanted):
            repository = _described(name)
        file = _chosen(repository, wanted)
        if not repository.kept(file):
            _record(repository)
            for part in repository.parts(file):
                download(repository, part, repository.folder / part.name, progress, stop or Event())
    except OSError as error:
        raise ModelError(
            f"{HUB}{name} cannot be kept in {folder()}: {error.strerror or error}. Make room there, or name another "
            f"folder with {CACHE}. What was fetched so far is continued."
        ) from error
    return repository.folder / file.name


def parse(spec: str) -> tuple[str, str]:
    """The repository and the file that a spec names; the file may be empty.

    Raises:
        InputError: it is no `hub:ORG/REPO[:FILE]`.
    """
    name, _, wanted = spec.removeprefix(HUB).partition(":")
    if not _REPOSITORY.fullmatch(name):
        raise InputError(f"{spec!r} names no repository: write {HUB}ORG/REPO or {HUB}ORG/REPO:FILE.gguf.")
    return name, wanted


def cached(name: str) -> Repository | None:
    """What is known of a repository from an earlier fetch; None where there was none."""
    try:
        found = msgspec.json.decode((folder() / name.replace("/", "--") / RECORD).read_bytes(), type=Repository)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if found.name == name and all(_inside(file.name) for file in found.files) else None


def every_cached() -> list[Repository]:
    """The repositories of which something was fetched, by name."""
    names = (path.parent.name.replace("--", "/", 1) for path in sorted(folder().glob(f"*/{RECORD}")))
    return [repository for name in names if (repository := cached(name)) is not None]


def _described(name: str) -> Repository:
    """Ask the Hub for a repository's files."""
    hub = library()
    endpoint = os.environ.get("HF_ENDPOINT") or None
    try:
        info = hub.HfApi(endpoint=endpoint, library_name="tpo").model_info(name, files_metadata=True, timeout=TIMEOUT)
    except Exception as error:
        raise refusal(name, error) from error
    files = [
        HubFile(one.rfilename, one.lfs.size, one.lfs.sha256)
        for one in info.siblings or ()
        if one.rfilename.lower().endswith(".gguf")
        and one.lfs is not None
        and _SHA256.fullmatch(one.lfs.sha256)
        and _inside(one.rfilename)
    ]
    card = info.card_data.to_dict() if info.card_data else {}
    return Repository(name, info.sha or "main", str(card.get("license") or ""), tuple(files))


def _inside(name: str) -> bool:
    """Whether a name from outside stays in the folder of its repository."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name and ":" not in name


def _matching(repository: Repository, wanted: str) -> list[HubFile]:
    """The models that a name means: the one of that name, or else those whose names contain it."""
    exact = [file for file in repository.models if file.name == wanted]
    return exact or [file for file in repository.models if wanted.lower() in file.name.lower()]


def _chosen(repository: Repository, wanted: str) -> HubFile:
    found = _matching(repository, wanted)
    if len(found) == 1:
        return found[0]
    label = HUB + repository.name
    if not repository.models:
        raise InputError(f"{label} has no GGUF file: look for a repository of the model whose name ends in -GGUF.")
    shown = found or repository.models
    listed = ", ".join(f"{file.name} ({megabytes(repository.size(file))})" for file in shown[:_LISTED])
    more = f" and {len(shown) - _LISTED} more" if len(shown) > _LISTED else ""
    if found:
        raise InputError(f"{label} has {len(found)} such files: name one, {label}:{found[0].name}. {listed}{more}")
    raise InputError(f"{label} has no file {wanted!r}. It has {listed}{more}")


def _record(repository: Repository) -> None:
    repository.folder.mkdir(parents=True, exist_ok=True)
    path = repository.folder / RECORD
    unfinished = path.with_name(f"{RECORD}.{os.getpid()}")
    unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(repository)))
    unfinished.replace(path)
