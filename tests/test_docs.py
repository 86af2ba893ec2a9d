"""The README and docs/: their examples run, and what they point at is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tpo.models.embedded import EmbeddedServer

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
# Where the pages say "your server", the tests have the embedded one, over the same HTTP.
PLACEHOLDER = "http://localhost:8000/v1"


def blocks(kind: str) -> list[object]:
    """The pages' code blocks of one kind, each named by its page and number."""
    return [
        pytest.param(code, id=f"{page.name}-{number}")
        for page in PAGES
        for number, (language, code) in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")))
        if language == kind
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.embedded
@pytest.mark.parametrize("code", blocks("python"))
def test_python_examples_run(code: str, tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.embedded
@pytest.mark.parametrize("session", blocks("console"))
def test_console_examples_run(session: str, tmp_path: Path, embedded_server: EmbeddedServer) -> None:
    for name, code in re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```", page_of(session), re.DOTALL | re.MULTILINE):
        (tmp_path / f"{name}.py").write_text(code)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for line in re.findall(r"^\$ (.+)$", session, re.MULTILINE):
        if line.startswith("export "):
            continue
        if PLACEHOLDER in line:
            environment["TPO_API_KEY"] = embedded_server.api_key
            line = f"{line.replace(PLACEHOLDER, embedded_server.url)} --max-tokens 48"
        ran = subprocess.run(line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, f"{line}\n{ran.stderr}"
        assert ran.stdout.strip()


def page_of(session: str) -> str:
    """The page that a block stands on."""
    return next(text for page in PAGES if session in (text := page.read_text(encoding="utf-8")))
