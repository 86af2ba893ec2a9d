"""A program that is a fork (`programs.py`) behaves as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from programs import program

PYTHON = """
import os, socket, sys, time
if sys.argv[1] == "echo":
    print(os.getcwd(), os.environ["MARK"], sys.path[0], sys.stdin.read())
    print("apart", file=sys.stderr)
    sys.exit(7)
if sys.argv[1] == "leak":
    held = socket.socket()
    del held
if sys.argv[1] == "wait":
    try:
        print("ready", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        sys.exit(9)
"""


@pytest.fixture
def script(tmp_path: Path) -> str:
    (tmp_path / "script.py").write_text(PYTHON)
    return str(tmp_path / "script.py")


def test_folder_environment_standard_files_and_exit_code_are_the_callers(script: str, tmp_path: Path) -> None:
    command = [*program("python"), script, "echo"]
    environment = {**os.environ, "MARK": "mine"}
    ran = subprocess.run(command, input="in", cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (7, f"{tmp_path} mine {tmp_path} in\n", "apart\n")
    assert subprocess.run([*program(), "--version"], capture_output=True, text=True).stdout.startswith("tpo ")


def test_what_it_leaves_open_is_reported(script: str) -> None:
    for warned in (False, True):
        environment = {**os.environ, "PYTHONWARNINGS": "error::ResourceWarning" if warned else ""}
        command = [*program("python"), script, "leak"]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert ("ResourceWarning: unclosed <socket" in ran.stderr) == warned


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 9), (signal.SIGTERM, 128 + signal.SIGTERM)])
def test_signals_reach_it(script: str, how: signal.Signals, code: int) -> None:
    with subprocess.Popen([*program("python"), script, "wait"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        process.send_signal(how)
        assert process.wait(60) == code


def test_what_is_killed_ends_with_its_pipes(script: str) -> None:
    with subprocess.Popen([*program("python"), script, "wait"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        process.kill()
        assert process.communicate(timeout=60)[0] == b""
