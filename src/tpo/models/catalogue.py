"""Models that run in this process: those in the cache, those to begin with, and how fast they are here."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tpo.models import hub, weights
from tpo.models.hub_download import HUB, HubFile
from tpo.models.machine import available_memory, usable_cpus

# Writing a token reads all weights once, so that memory decides. Measured: SmolLM2-135M as Q8_0 (145 MB) writes 99
# tokens/s on two quiet cores (docs/embedded.md), which is 7.2 GB/s a core; more than eight cores seldom read faster.
_CORE_BYTES = 7.2e9
_MOST_CORES = 8
# Beside the weights: the keys and values of a context, and the program.
_MEMORY_BYTES = 500_000_000


class LocalModel(msgspec.Struct, frozen=True):
    """A model that can run in this process.

    Attributes:
        spec: what `--policy` takes.
        size: bytes of its files.
        licence: empty where it is unknown.
        path: its file in the cache; None where it would be fetched.
        note: what it is good for.
    """

    spec: str
    size: int
    licence: str
    path: Path | None = None
    note: str = ""

    @property
    def fits(self) -> bool:
        """Whether the free memory of this machine holds it."""
        return self.size + _MEMORY_BYTES < available_memory()


SUGGESTED = (
    LocalModel("embedded", weights.REWRITTEN_SIZE, "apache-2.0", note="SmolLM2-135M: works at once, writes poorly"),
    LocalModel(
        "hub:Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF:qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        491_400_064,
        "apache-2.0",
        note="short code and short answers",
    ),
    LocalModel(
        "hub:Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF:qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        1_117_320_768,
        "apache-2.0",
        note="the smallest that follows most instructions",
    ),
)


def local_models() -> list[LocalModel]:
    """The models in the cache, then those that are suggested and not there."""
    built_in = weights.cache() / weights.REWRITTEN
    kept = {
        model.spec: model
        for repository in hub.every_cached()
        for file in repository.models
        if repository.kept(file)
        for model in [_kept(repository, file)]
    }
    if built_in.is_file():
        kept["embedded"] = msgspec.structs.replace(SUGGESTED[0], path=built_in)
    notes = {model.spec: model.note for model in SUGGESTED}
    there = [msgspec.structs.replace(model, note=notes.get(spec, "")) for spec, model in kept.items()]
    return sorted(there, key=lambda model: model.size) + [model for model in SUGGESTED if model.spec not in kept]


def _kept(repository: hub.Repository, file: HubFile) -> LocalModel:
    return LocalModel(
        f"{HUB}{repository.name}:{file.name}",
        repository.size(file),
        repository.licence,
        repository.folder / file.name,
    )


def tokens_per_second(model: LocalModel) -> float:
    """About how many tokens a second one answer is written with on this machine; several at once are faster together.

    It is an estimate from the size of the files and the processors that may be used, for a machine without other work.
    """
    return _CORE_BYTES * min(usable_cpus(), _MOST_CORES) / model.size
