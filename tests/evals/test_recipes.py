"""Recipes: what is in them is understood by the commands that they call."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import typer
from typer.testing import CliRunner

from tpo.cli.app import app
from tpo.evals.benchmarks import find_benchmark
from tpo.evals.costs import parse_parameters
from tpo.experiments.definition import read_experiment
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


@pytest.mark.parametrize("file", sorted(RECIPES.rglob("experiment.toml")), ids=named)
def test_every_experiment_is_accepted(file: Path) -> None:
    experiment = read_experiment(file)
    assert experiment.cells()
    assert set(experiment.sizes()) == set(experiment.models)


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


PAPER = sorted((RECIPES / "paper").glob("*/tpo.toml"))


class Listing(BaseHTTPRequestHandler):
    """A server that lists one model."""

    model: ClassVar[dict[str, Any]] = {}

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        body = json.dumps({"data": [self.model]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def listing(**model: Any) -> Iterator[str]:
    """The address of such a server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("One", (Listing,), {"model": model}))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def checked(file: Path, policy: dict[str, Any], reward: dict[str, Any], scratch: Path, **more: str) -> Any:
    """Run recipes/paper/check.py for a recipe whose servers list these models."""
    with listing(**policy) as at_policy, listing(**reward) as at_reward:
        text = file.read_text(encoding="utf-8")
        text = text.replace("http://localhost:8000", at_policy).replace("http://localhost:8001", at_reward)
        copy = scratch / file.parent.name / "tpo.toml"
        copy.parent.mkdir()
        copy.write_text(text)
        program = [sys.executable, str(RECIPES / "paper" / "check.py"), str(copy)]
        return subprocess.run(program, env={**os.environ, **more}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("file", PAPER, ids=named)
def test_the_papers_servers_are_accepted(file: Path, tmp_path: Path) -> None:
    settings = tomllib.loads(file.read_text(encoding="utf-8"))
    name = "allenai/Llama-3.1-Tulu-3-8B-RM" if "tulu3-rm" in str(file) else "sfairXC/FsfairX-LLaMA3-RM-v0.1"
    policy = {"id": settings["policy-model"], "root": settings["policy-model"], "max_model_len": 16384}
    reward = {"id": name, "root": "/weights/rm", "max_model_len": 8192}
    ran = checked(file, policy, reward, tmp_path, TPO_JUDGE_API_KEY="key")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "the weights come from /weights/rm: that they are those of" in ran.stdout
    assert "python3 recipes/paper/check.py $config" in (file.parent / "run.sh").read_text(encoding="utf-8")


def test_other_servers_are_refused_unless_that_is_wanted(tmp_path: Path) -> None:
    policy = {"id": "qwen", "root": "Qwen/Qwen3-8B"}
    reward = {"id": "sfairXC/FsfairX-LLaMA3-RM-v0.1", "max_model_len": 2048}
    keys = {"TPO_JUDGE_API_KEY": "", "OPENAI_API_KEY": ""}
    ran = checked(PAPER[0], policy, reward, tmp_path, **keys)
    assert ran.returncode == 2
    assert "serves qwen, and the paper used meta-llama/Llama-3.1-70B-Instruct" in ran.stderr
    assert "takes 2048 tokens, and 8192 are needed: --max-model-len 8192" in ran.stderr
    assert "the judge needs a key" in ran.stderr
    (tmp_path / "again").mkdir()
    assert checked(PAPER[0], policy, reward, tmp_path / "again", TPO_ANY_MODEL="1", **keys).returncode == 0


def test_the_page_lists_every_recipe() -> None:
    page = (RECIPES / "README.md").read_text(encoding="utf-8")
    for file in FILES:
        assert f"]({file.parent.relative_to(RECIPES)})" in page
