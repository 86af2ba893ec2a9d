"""The pages: their commands exist with their flags, and what they point at is there. test_blocks.py runs the blocks."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from docs.blocks import BLOCKS, COMMANDS, FENCE, PAGES, PYTHON, ROOT, SHELL, Block, simple_commands
from tpo.cli.app import app
from tpo.options import configurable

LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)]+))?\)")
# What else stands in a fence: files, which tests of their own rooms read.
OTHERS = {"js", "toml", "json", "yaml", "text", "nginx", "promql", "dockerfile", "bibtex"}
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
SCRIPTS = ("recipes/", "benchmarks/", "examples/")
PROGRAMS = {
    *(
        "chown",
        "curl",
        "docker",
        "git",
        "inspect",
        "install",
        "jq",
        "kubectl",
        "llama-server",
        "llm",
        "make",
        "pip",
        "pipx",
    ),
    *("podman", "pre-commit", "printf", "python", "python3", "source", "sudo", "systemctl", "export", "uv", "vllm"),
    "text-embeddings-router",
}


def check_tpo(arguments: list[str]) -> None:
    """Parse a command line of tpo, which raises where a command, a flag or a required argument is wrong."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("tpo", list(arguments))
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)


def check_command(words: list[str]) -> None:
    """Hold one command against what it calls."""
    program, *arguments = words
    if program.endswith("bin/tpo") or program == "tpo":
        check_tpo([argument for argument in arguments if argument != "…"])
    elif program == "sudo":
        check_command(arguments)
    elif program.startswith(SCRIPTS):
        assert os.access(ROOT / program, os.X_OK), program
    else:
        assert Path(program).name in PROGRAMS, f"{program}: a command that this test does not know"
    if Path(program).name == "python":
        assert arguments[0].startswith("-") or (ROOT / arguments[0]).is_file(), arguments[0]
    if Path(program).name == "make":
        assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for extras in re.findall(r"\.\[([\w,]+)\]", " ".join(arguments)):
        assert set(extras.split(",")) <= EXTRAS.keys(), extras


def test_the_version_stands_in_every_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == project["version"]
    assert f"## {project['version']}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_address_of_the_repository_is_put_in_and_none_is_made_up() -> None:
    program = ROOT / "packaging" / "set_repository.py"
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert "OWNER" not in text
    project = tomllib.loads(runpy.run_path(str(program))["with_repository"](text, "https://forge.example/us/tpo"))
    assert project["project"]["urls"]["Issues"] == "https://forge.example/us/tpo/issues"
    (change,) = project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]
    linked = re.sub(change["pattern"], change["replacement"], "See [runs](docs/runs.md), [it](https://x.y).")
    assert linked == "See [runs](https://forge.example/us/tpo/blob/main/docs/runs.md), [it](https://x.y)."


@pytest.mark.parametrize("path", [*(ROOT / ".github").rglob("*.yml"), ROOT / ".pre-commit-config.yaml"], ids=str)
def test_forms_and_workflows_are_yaml(path: Path) -> None:
    read = yaml.safe_load(path.read_text(encoding="utf-8"))
    for job in read.get("jobs", {}).values():
        for step in job["steps"]:
            for target in re.findall(r"^make (\S+)$", step.get("run", ""), re.MULTILINE):
                check_command(["make", target])


def test_every_block_is_of_a_known_language() -> None:
    for block in BLOCKS:
        assert block.language in SHELL | PYTHON | OTHERS, f"{block.page.name}: ```{block.language}"
    for page in PAGES:
        outside = FENCE.sub("", page.read_text(encoding="utf-8"))
        assert not re.search(r"\n\n    \S", outside), f"{page.name}: an indented block; use a fence"
        if page.parent.name != "reference":  # the words of messages, which an installed package has too
            assert "'tpo[" not in outside, f"{page.name}: from a clone it is '.[EXTRA]'"


def of_page(block: Block) -> str:
    return block.page.stem


@pytest.mark.parametrize("block", [block for block in COMMANDS if block.language != "bash"], ids=of_page)
def test_commands_exist_with_their_flags(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for words in simple_commands(block.code):
        check_command(words)


@pytest.mark.parametrize("block", [block for block in COMMANDS if block.language == "bash"], ids=of_page)
def test_batch_scripts_are_shell_and_their_tpo_commands_exist(block: Block) -> None:
    ran = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    ours = re.findall(r"^tpo (.*?) &?$", block.text.replace("\\\n", " ").replace(" &\n", " \n"), re.MULTILINE)
    assert ours
    for arguments in ours:
        check_tpo(shlex.split(arguments))


@pytest.mark.parametrize(
    "line", ["tpo align --no-such-flag x", "tpo eval xstest --data DIR", "tpo nothing", "sorcery", "pip install '.[x]'"]
)
def test_a_wrong_command_is_found(line: str) -> None:
    (words,) = simple_commands(line)
    with pytest.raises(Exception):  # noqa: B017 - a usage error of Click's vendored copy, or an assertion
        check_command(words)


def test_open_webui_is_given_the_servers_address_and_key() -> None:
    file = ROOT / "examples" / "open_webui" / "compose.yaml"
    services = yaml.safe_load(file.read_text(encoding="utf-8"))["services"]
    server, page = services["tpo"], services["open-webui"]
    check_tpo(server["command"])
    assert (file.parent / server["build"]["context"] / server["build"]["dockerfile"]).is_file()
    port = server["command"][server["command"].index("--port") + 1]
    assert page["environment"]["OPENAI_API_BASE_URL"] == f"http://tpo:{port}/v1"
    assert page["environment"]["OPENAI_API_KEY"] == server["environment"]["TPO_SERVE_KEY"]
    known = {f"TPO_{name.upper()}" for name in configurable()} | {"TPO_SERVE_KEY"}
    assert set(server["environment"]) <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        place = page.parent / target if target else page
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), f"{target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", heading).lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}
