"""packaging/: what can be seen of it without containers and without being root."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer.main
import yaml

from programs import program
from server.conftest import length
from server.kit import running
from server.policy import policy, saying
from tpo.cli.app import app
from tpo.config import load_config
from tpo.options import configurable
from tpo.server.service import Setup
from tpo.session.spec import specified

ROOT = Path(__file__).parent.parent
PACKAGING = ROOT / "packaging"


def understood(arguments: list[str]) -> dict[str, Any]:
    """What `tpo serve` makes of a command line, which is an error where it knows a flag not."""
    command: Any = typer.main.get_command(app)
    with command.make_context("tpo", arguments, resilient_parsing=True) as context:
        (name, serve, rest) = command.resolve_command(context, [*context._protected_args, *context.args])
        assert name == "serve"
        parser = serve.make_parser(context)
        values, left, _ = parser.parse_args(rest)
        assert left == []
        return {**context.params, **values}


def containerfile() -> list[list[str]]:
    """Its instructions, each split at its first space."""
    text = re.sub(r"\\\n\s*", " ", (PACKAGING / "Containerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [line.split(" ", 1) for line in lines]


def one(instruction: str) -> str:
    (found,) = [rest for name, rest in containerfile() if name == instruction]
    return found


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in shlex.split(one("ENV")))


def compose() -> dict[str, Any]:
    value: dict[str, Any] = yaml.safe_load((PACKAGING / "compose.yaml").read_text())
    return value


def unit() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (PACKAGING / "tpo.service").read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, value = line.split("=", 1)
            found.setdefault(name, []).append(value)
    return found


def test_the_image_has_two_stages_and_no_root() -> None:
    stages = [rest for name, rest in containerfile() if name == "FROM"]
    assert len(stages) == 2
    assert stages[0].endswith(" AS build")
    assert one("USER") == "10001:10001"
    assert int(one("USER").split(":")[0]) >= 1000
    for source in ("pyproject.toml", "README.md", "LICENSE", "src"):
        assert (ROOT / source).exists()
        assert f"!{source}" in (PACKAGING / "Containerfile.dockerignore").read_text().splitlines()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    arguments = dict(rest.split("=", 1) for name, rest in containerfile() if name == "ARG")
    assert set(arguments["EXTRAS"].split(",")) <= set(extras)
    assert set(compose()["services"]["tpo"]["build"]["args"]["EXTRAS"].split(",")) <= set(extras)


def test_the_image_starts_a_server_that_asks_for_a_key() -> None:
    assert json.loads(one("ENTRYPOINT")) == ["tpo"]
    understood(json.loads(one("CMD")))
    assert (environment()["TPO_HOST"], environment()["TPO_PORT"]) == ("0.0.0.0", one("EXPOSE"))
    settings = {name: value for name, value in environment().items() if name.startswith("TPO_")}
    assert {name.removeprefix("TPO_").lower() for name in settings} <= configurable().keys()
    ran = subprocess.run(
        [*program(), *json.loads(one("CMD"))],
        env={**os.environ, **settings, "TPO_PORT": "0", "TPO_POLICY": "http://127.0.0.1:9/v1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 2
    assert "tpo key" in ran.stderr


async def test_the_health_check_distinguishes_life_from_death() -> None:
    import asyncio

    text = one("HEALTHCHECK").partition(" CMD ")[2]
    command = [sys.executable, *json.loads(text)[1:]]

    async def check(port: int) -> int:
        checking = await asyncio.create_subprocess_exec(
            *command, env={**os.environ, "TPO_PORT": str(port)}, stderr=asyncio.subprocess.DEVNULL
        )
        return await checking.wait()

    async with policy(saying("hi")) as behind:
        options: Any = {"policy": behind.url, "reward": length, "check": False}
        async with running(Setup(options=options)) as url:
            port = httpx.URL(url).port or 0
            assert await check(port) == 0
    assert await check(port) != 0


def test_compose_names_what_is_there() -> None:
    whole = compose()
    assert set(whole["services"]) == {"policy", "reward", "tpo"}
    tpo = whole["services"]["tpo"]
    assert (PACKAGING / tpo["build"]["context"] / tpo["build"]["dockerfile"]).is_file()
    for service in whole["services"].values():
        assert set(service["networks"]) <= set(whole["networks"])
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert (PACKAGING / source).is_dir() if source.startswith(".") else source in whole["volumes"]
    values = understood(tpo["command"])
    mounted = dict(volume.split(":")[:2][::-1] for volume in tpo["volumes"])
    for file in (values["config_file"], values["keys"]):
        assert mounted[str(Path(file).parent)] == "./etc"
    assert tpo["ports"] == [f"127.0.0.1:8000:{environment()['TPO_PORT']}"]
    assert (tpo["read_only"], tpo["cap_drop"]) == (True, ["ALL"])
    assert mounted[one("VOLUME")] == "state"
    # Only tpo is reached from outside, and models only by it.
    assert [name for name, service in whole["services"].items() if "ports" in service] == ["tpo"]


def test_the_example_configuration_is_one_and_fits_compose() -> None:
    config = load_config(PACKAGING / "etc" / "tpo.toml")
    services = compose()["services"]
    for url in (config.options["policy"], config.options["reward"].partition(":")[2]):
        parsed = httpx.URL(url)
        command = services[parsed.host]["command"]
        assert command[command.index("--port") + 1] == str(parsed.port)
    options: Any = {
        name: config.options[name] for name in ("policy", "reward", "method", "width", "depth", "max_tokens")
    }
    assert specified(options).width == 5
    assert set(config.rewards) == {"helpful", "short"}
    # There is time for the grace before it is over.
    assert float(services["tpo"]["stop_grace_period"].removesuffix("s")) > config.options["grace"] + 15
    assert float(unit()["TimeoutStopSec"][0]) > config.options["grace"] + 15


def test_the_unit_starts_what_there_is() -> None:
    program, *arguments = shlex.split(unit()["ExecStart"][0])
    assert program.endswith("/bin/tpo")
    values = understood(arguments)
    name, _, source = unit()["LoadCredential"][0].partition(":")
    assert values["keys"] == f"${{CREDENTIALS_DIRECTORY}}/{name}"
    assert Path(source).parent == Path(values["config_file"]).parent
    assert unit()["DynamicUser"] == ["yes"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / "tpo.service"
    # Where the program is not installed, its absence would be all that is said.
    copy.write_text((PACKAGING / "tpo.service").read_text().replace("/opt/tpo/bin/tpo", "/bin/true"))
    checked = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True)
    said = [line for line in checked.stderr.splitlines() if "tpo.service" in line]
    assert said == []
    exposed = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=25", str(copy)], capture_output=True, text=True
    )
    if "unrecognized option" not in exposed.stderr:
        assert exposed.returncode == 0, exposed.stdout
