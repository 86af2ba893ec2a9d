"""uv.lock belongs to pyproject.toml, and what the tests need is free of torch and CUDA."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
LOCK: dict[str, Any] = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = {package["name"]: package for package in LOCK["package"]}
OURS = PACKAGES["tpo"]


def pinned(entries: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Names and versions of requirements as uv wrote them down."""
    return {(entry["name"], "".join(sorted(entry.get("specifier", "").split(",")))) for entry in entries}


def wanted(texts: list[str]) -> set[tuple[str, str]]:
    """The same of requirements as pyproject.toml has them."""
    return {(one.name, "".join(sorted(str(one.specifier).split(",")))) for one in map(Requirement, texts)}


def test_the_lock_is_of_this_pyproject() -> None:
    project = PYPROJECT["project"]
    texts = [*project["dependencies"], *(text for extra in project["optional-dependencies"].values() for text in extra)]
    assert pinned(OURS["metadata"]["requires-dist"]) == wanted(texts), "`uv lock` makes it anew"
    groups = {name: wanted(texts) for name, texts in PYPROJECT["dependency-groups"].items()}
    assert {name: pinned(entries) for name, entries in OURS["metadata"]["requires-dev"].items()} == groups
    assert LOCK["requires-python"] == project["requires-python"]


def test_every_file_comes_from_the_public_index() -> None:
    sources = {tuple(package["source"].items()) for package in LOCK["package"] if package["name"] != "tpo"}
    assert sources == {(("registry", "https://pypi.org/simple"),)}


def test_the_setup_of_the_tests_brings_no_torch_and_no_cuda() -> None:
    groups = OURS["dev-dependencies"]
    names = [entry["name"] for entry in [*OURS["dependencies"], *groups["dev"], *groups["clients"]]]
    reached: set[str] = set()
    while names:
        name = names.pop()
        if name not in reached:
            reached.add(name)
            names += [entry["name"] for entry in PACKAGES[name].get("dependencies", ())]
    assert {"numpy", "pytest", "openai"} <= reached
    assert [name for name in reached if name == "torch" or name.startswith(("nvidia-", "triton", "cuda"))] == []
