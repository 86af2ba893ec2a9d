"""The record of what clients can do with the server: `make test-clients` writes it, docs/clients.md shows it.

A test that shows a feature of a client has the mark `feature("CLIENT", "FEATURE")`; one that runs a client for
JavaScript adds what passed to its `user_properties`. A feature is recorded when all of its tests passed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
RECORD = HERE / "record.json"
JS = HERE.parent / "js"
FEATURES = ("chat", "stream", "tools", "structured output")
PYTHON_CLIENTS = {
    "OpenAI, Python": ["openai"],
    "Anthropic, Python": ["anthropic"],
    "LangChain": ["langchain-openai", "langchain-core"],
    "LlamaIndex": ["llama-index-llms-openai-like", "llama-index-core"],
    "pydantic-ai": ["pydantic-ai-slim"],
    "instructor": ["instructor"],
    "litellm": ["litellm"],
    "llm": ["llm"],
    "Inspect": ["inspect-ai"],
}
JS_CLIENTS = {
    "OpenAI, JavaScript": ["openai"],
    "Anthropic, JavaScript": ["@anthropic-ai/sdk"],
    "Vercel AI, @ai-sdk/openai": ["ai", "@ai-sdk/openai"],
    "Vercel AI, @ai-sdk/openai-compatible": ["ai", "@ai-sdk/openai-compatible"],
    "Vercel AI, @ai-sdk/anthropic": ["ai", "@ai-sdk/anthropic"],
}
# Whose tests a file has; a test's name in vercel.mjs begins with its package.
JS_FILES = {"openai": "OpenAI, JavaScript", "anthropic": "Anthropic, JavaScript"}
JS_NAME = re.compile(rf"(?:(?P<package>@[\w/-]+).*?: )?(?P<feature>{'|'.join(FEATURES)})\b")

Found = tuple[str, str, str, bool]  # client, feature, the test's name, whether it passed


def js_feature(file: str, name: str) -> tuple[str, str] | None:
    """The client and the feature that a test for JavaScript shows; None for one that shows none.

    Args:
        file: the file's name without its ending.
        name: the test's name.
    """
    found = JS_NAME.match(name)
    if found is None:
        return None
    return JS_FILES.get(file) or f"Vercel AI, {found['package']}", found["feature"]


def version(client: str, package: str) -> str:
    """The installed version of a client's package."""
    if client in PYTHON_CLIENTS:
        return metadata.version(package)
    return str(json.loads((JS / "node_modules" / package / "package.json").read_text(encoding="utf-8"))["version"])


class Recorder:
    """Collects what passed and failed in a run of the tests."""

    def __init__(self) -> None:
        self.found: list[Found] = []

    def add(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Add the outcome of a test."""
        if report.when != "call" or report.skipped:
            return
        name = item.nodeid.rpartition("/")[2].partition("[")[0]
        for mark in item.iter_markers("feature"):
            self.found.append((*mark.args, name, report.passed))
        for key, value in item.user_properties:
            if key == "feature":
                self.found.append(value)  # type: ignore[arg-type]

    def write(self, path: Path) -> None:
        """Replace the entries of the clients whose tests ran."""
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        order = [*PYTHON_CLIENTS, *JS_CLIENTS]
        made = {**kept, **entries(self.found)}
        ordered = {client: made[client] for client in sorted(made, key=order.index)}
        path.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


def entries(found: Iterable[Found]) -> dict[str, Any]:
    """The entries of the record for outcomes of tests."""
    made: dict[str, Any] = {}
    failed = {(client, feature) for client, feature, _, passed in found if not passed}
    for client, feature, name, _ in found:
        packages = PYTHON_CLIENTS.get(client) or JS_CLIENTS[client]
        entry = made.setdefault(
            client, {"versions": {package: version(client, package) for package in packages}, "features": {}}
        )
        if (client, feature) not in failed:
            tests = entry["features"].setdefault(feature, [])
            if name not in tests:
                tests.append(name)
    return made


def declared() -> dict[tuple[str, str], set[str]]:
    """The tests that show a feature, by client and feature, as the files have them."""
    made: dict[tuple[str, str], set[str]] = {}
    mark = re.compile(r'^@pytest\.mark\.feature\("([^"]+)", "([^"]+)"\)$')
    for path in HERE.glob("test_*.py"):
        marks: list[tuple[str, str]] = []
        for line in path.read_text(encoding="utf-8").splitlines():
            if found := mark.match(line):
                marks.append((found[1], found[2]))
            elif defined := re.match(r"(?:async )?def (test_\w+)", line):
                for pair in marks:
                    made.setdefault(pair, set()).add(f"{path.name}::{defined[1]}")
                marks = []
    return made


def js_names(file: str) -> set[str]:
    """Patterns of the names of the tests in a file for JavaScript."""
    text = (JS / f"{file}.mjs").read_text(encoding="utf-8")
    return {found[2] for found in re.finditer(r"""test\((['`])(.+?)\1,""", text)}


def unknown(record: Mapping[str, Any]) -> list[str]:
    """The tests of a record that are not in the files any more."""
    there = declared()
    gone = []
    for client, entry in record.items():
        for feature, names in entry["features"].items():
            for name in names:
                file, _, test = name.partition(".mjs::")
                known = (
                    any(re.fullmatch(re.sub(r"\\\$\\\{.*?\\\}", ".*", re.escape(one)), test) for one in js_names(file))
                    if test
                    else name in there.get((client, feature), ())
                )
                if not known:
                    gone.append(f"{client}, {feature}: {name}")
    return gone
