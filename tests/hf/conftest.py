"""Small models for the tests of `hf:`, made once a session; without the extra, those tests are skipped."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hf import small


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folders of small random models by name; see `small.MODELS`."""
    # The code of models that bring their own is copied to a cache before it is imported.
    os.environ.update(HF_HUB_OFFLINE="1", HF_MODULES_CACHE=str(tmp_path_factory.mktemp("modules")))
    pytest.importorskip("torch", reason="the extra [hf] is not installed: run `make test-hf`")
    pytest.importorskip("transformers", reason="the extra [hf] is not installed: run `make test-hf`")
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp("models") / name
            small.MODELS[name](made[name])
        return made[name]

    return folder
