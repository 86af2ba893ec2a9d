"""`tpo` and `python` as programs that start at once: each is a fork of one process that has everything imported.

A program behaves as a process of its own does (tests/test_programs.py): its folder, environment, standard files, exit
code and signals are the caller's. Only what is killed with SIGKILL ends a moment later than the process that was
killed: wait until its pipes are closed, or start `sys.executable -m tpo`.
"""

from __future__ import annotations

import functools
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

FORKED = Path(__file__).with_name("forked.py")


def program(name: str = "tpo") -> list[str]:
    """How a command line begins: with `tpo`, or with `python`, which takes a script."""
    # Without the environment and site-packages, Python starts in 20 ms.
    return [sys.executable, "-ISE", str(FORKED), str(_forking()), name]


def folder(where: Path) -> Path:
    """Put `tpo`, `python` and `python3` into a folder, for PATH."""
    for name, called in (("tpo", "tpo"), ("python", "python"), ("python3", "python")):
        (where / name).write_text(f'#!/bin/sh\nexec {shlex.join(program(called))} "$@"\n')
        (where / name).chmod(0o755)
    return where


@functools.cache
def _forking() -> Path:
    """The socket of the process that forks; it ends with this process."""
    path = Path(tempfile.mkdtemp(prefix="tpo-forked-")) / "socket"
    command = [sys.executable, str(FORKED), "serve", str(path)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdout is not None and server.stdout.readline() == b"ready\n"
    _servers.append(server)
    return path


# Held, since its standard input closes with it.
_servers: list[subprocess.Popen[bytes]] = []
