"""Recipes: what is in them is understood by the commands that they call."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tpo.cli.app import app
from tpo.evals.benchmarks import find_benchmark
from tpo.evals.costs import parse_parameters
from tpo.methods.presets import parse_preset

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes"
FILES = sorted(RECIPES.rglob("tpo.toml"))
SCRIPTS = sorted(RECIPES.rglob("*.sh"))


def named(path: Path) -> str:
    """A recipe's file, for people."""
    return str(path.relative_to(RECIPES))


def commands(script: Path) -> list[list[str]]:
    """The command lines of a script as a shell would split them, with variables as they are set in it."""
    text = script.read_text(encoding="utf-8").replace("\\\n", " ")
    text = text.replace("$1", "DATA")
    values = {"data": "DATA", "out": "OUT"} | dict(re.findall(r"^(config|here)=(\S+)$", text, re.MULTILINE))
    for name, value in values.items():
        text = re.sub(rf"\${name}\b", value, text)
    lines = [shlex.split(line, comments=True) for line in text.splitlines()]
    return [line for line in lines if line]


def parsed(arguments: list[str]) -> dict[str, Any]:
    """The values that a command line gives its command; raises a usage error where it cannot be parsed."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("tpo", list(arguments))
    # The configuration is read by the command above all others.
    context.invoke(command.callback, **context.params)
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        context = found.make_context(name, rest, parent=context)
        command = found
    values: dict[str, Any] = context.params
    return values


@pytest.mark.parametrize("file", FILES, ids=named)
def test_every_configuration_is_accepted(file: Path) -> None:
    ran = CliRunner().invoke(app, ["--config", str(file), "config", "--json"])
    assert ran.exit_code == 0, ran.output
    assert f"{file}" in ran.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=named)
def test_every_command_line_is_understood(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    ours = [line[1:] for line in commands(script) if line[0] == "tpo"]
    assert bool(ours) == (script.name == "run.sh")
    for arguments in ours:
        values = parsed(arguments)
        for task in values.get("task") or ():
            assert find_benchmark(task).name == task
        methods = values.get("method") or ()
        for method in methods if not isinstance(methods, str) else ():
            assert parse_preset(method).label == method
        if values.get("against"):
            assert values["against"] in methods
        parse_parameters(values.get("parameters") or ())


def test_a_command_line_with_a_mistake_is_not() -> None:
    with pytest.raises(Exception, match="No such option: --methods"):
        parsed(["eval", "xstest", "--methods", "tpo", "--out", "OUT"])


@pytest.mark.parametrize("script", SCRIPTS, ids=named)
def test_every_script_is_one_and_may_be_run(script: Path) -> None:
    assert script.stat().st_mode & 0o100
    assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0


@pytest.mark.parametrize("file", [file for file in FILES if file.parent.name != "laptop"], ids=named)
def test_what_is_served_is_what_is_asked_for(file: Path) -> None:
    import tomllib

    settings = tomllib.loads(file.read_text(encoding="utf-8"))
    served = {}
    for line in commands(file.parent / "serve.sh"):
        words = line[1:] if "=" in line[0] else line
        if words[:2] == ["vllm", "serve"]:
            served[f"http://localhost:{words[words.index('--port') + 1]}"] = words[2]
    assert served[settings["policy"].removesuffix("/v1")] == settings["policy-model"]
    rewards = [settings["reward"], *(one["use"] for one in settings.get("rewards", {}).values())]
    addresses = [one.removeprefix("vllm:") for one in rewards if one.startswith("vllm:")]
    assert addresses
    assert set(addresses) <= set(served)
    judge = settings["judge"].removesuffix("/v1")
    assert served.get(judge, settings["judge-model"]) == settings["judge-model"]


def test_the_page_lists_every_recipe() -> None:
    page = (RECIPES / "README.md").read_text(encoding="utf-8")
    for file in FILES:
        assert f"]({file.parent.relative_to(RECIPES)})" in page
