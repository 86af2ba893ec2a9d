"""The shape of the code: imports go downwards and in no circles, and a class name has one meaning."""

from __future__ import annotations

import ast
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

SRC = Path(__file__).parents[1] / "src"
# From the bottom to the top, as CONTRIBUTING.md shows them; rooms of one line may import each other's modules.
LAYERS = (
    ("errors", "messages", "candidate", "decoding", "templates", "specs", "stats", "tables", "plugins"),
    ("options", "config", "http", "scheduling"),
    ("models", "rewards", "prompts", "dialogues"),
    ("methods",),
    ("engine", "representations", "notebook"),
    ("checks", "session", "telemetry"),
    ("api", "runs", "evals", "experiments"),
    ("view",),
    ("server",),
    ("cli",),
)
RANK = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}


def modules() -> dict[str, ast.Module]:
    """The syntax trees of all modules by name."""
    trees = {}
    for path in SRC.rglob("*.py"):
        name = ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")
        trees[name] = ast.parse(path.read_text(encoding="utf-8"))
    return trees


MODULES = modules()


def imports(name: str) -> set[str]:
    """The modules of tpo that a module imports, for types alone too."""
    found = set()
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for one in node.names:
                whole = f"{node.module}.{one.name}"
                found.add(whole if whole in MODULES else node.module)
        elif isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
    return found & MODULES.keys() - {name}


def test_there_are_no_circles() -> None:
    TopologicalSorter({name: imports(name) for name in MODULES}).prepare()


def test_imports_go_downwards() -> None:
    rooms = {name: name.split(".")[1] for name in MODULES if "." in name and name != "tpo.__main__"}
    assert set(rooms.values()) <= RANK.keys(), "CONTRIBUTING.md and LAYERS name every room"
    upwards = [
        f"{name} imports {other}"
        for name, room in rooms.items()
        for other in imports(name) - {"tpo"}
        if RANK[rooms[other]] > RANK[room]
    ]
    assert not upwards


def test_a_class_name_has_one_meaning() -> None:
    names = Counter(node.name for tree in MODULES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    assert not [name for name, count in names.items() if count > 1]
