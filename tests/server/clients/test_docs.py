"""docs/clients.md: what can be run here is run, against a server that is there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from server.clients.kit import Served

ROOT = Path(__file__).parents[3]
ADDRESS = "http://localhost:8000/v1"
SECTION = re.compile(r"^## (.+?)$(.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
SECTIONS = dict(SECTION.findall((ROOT / "docs" / "clients.md").read_text(encoding="utf-8")))


def block(section: str, language: str, served: Served, number: int = 0) -> str:
    """A section's block of a language, the first unless another is named, with the address of the server."""
    code: str = [code for found, code in BLOCK.findall(SECTIONS[section]) if found == language][number]
    assert code.isascii()  # keys are sent in headers, and people paste these blocks
    return code.replace(ADDRESS, served.url).replace(ADDRESS.removesuffix("/v1"), served.url.removesuffix("/v1"))


def output(command: list[str], cwd: Path, **environment: str) -> str:
    """What a command prints."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ran = subprocess.run(
        command, cwd=cwd, env={**os.environ, "PATH": path, **environment}, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.parametrize(
    ("section", "module"),
    [
        ("OpenAI for Python", "openai"),
        ("Anthropic for Python", "anthropic"),
        ("LangChain", "langchain_openai"),
        ("LlamaIndex", "llama_index.llms.openai_like"),
    ],
)
def test_python(section: str, module: str, served: Served, tmp_path: Path) -> None:
    pytest.importorskip(module, reason=f"{module} is not installed")
    assert "You said: Hi" in output([sys.executable, "-c", block(section, "py", served)], tmp_path)


def test_a_background_response(served: Served, tmp_path: Path) -> None:
    code = block("OpenAI for Python", "py", served, 1)
    assert "You said: Hi" in output([sys.executable, "-c", code], tmp_path)


@pytest.mark.parametrize("section", ["OpenAI for JavaScript", "Vercel's AI SDK"])
def test_javascript(section: str, served: Served, javascript: Path) -> None:
    code = block(section, "js", served)
    assert "You said: Hi" in output(["node", "--input-type=module", "-e", code], javascript)


def test_curl(served: Served, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    assert "You said: Hi" in output(["sh", "-c", block("curl", "sh", served)], tmp_path)


def test_llm(served: Served, tmp_path: Path) -> None:
    pytest.importorskip("llm", reason="llm is not installed")
    (tmp_path / "extra-openai-models.yaml").write_text(block("llm", "yaml", served))
    home = {"LLM_USER_PATH": str(tmp_path), "OPENAI_API_KEY": "none"}
    assert "You said: Hi" in output(["sh", "-c", block("llm", "sh", served)], tmp_path, **home)


def test_inspect(served: Served, tmp_path: Path) -> None:
    pytest.importorskip("inspect_ai", reason="inspect-ai is not installed")
    task = (
        "from inspect_ai import Task, task",
        "from inspect_ai.dataset import Sample",
        "from inspect_ai.scorer import includes",
        "@task",
        "def says(): return Task([Sample(input='Hi', target='You said: Hi')], scorer=includes())",
    )
    (tmp_path / "task.py").write_text("\n".join(task))
    printed = output(["sh", "-c", block("Inspect AI", "sh", served)], tmp_path, INSPECT_DISPLAY="plain")
    assert re.search(r"accuracy:?\s+1", printed), printed
