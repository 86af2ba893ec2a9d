"""`tpo` and `python` for many short commands: one process has everything imported and forks for each command.

    python forked.py serve SOCKET              the process that forks, until its standard input is closed
    python forked.py SOCKET tpo ARGUMENT …     one command, with the caller's folder, environment and standard files

A forked command runs from its first line to its normal end, as in a process of its own, without the second or two
that imports take. The caller passes signals on to it. Of Python's own variables only PYTHONPATH and PYTHONWARNINGS
count: the interpreter is running already. `programs.py` starts both.
"""

from __future__ import annotations

import atexit
import builtins
import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

# What commands import as late as they need it.
MODULES = (
    *("tpo.cli.app", "tpo.cli.commands", "tpo.session.session", "tpo.runs.runner", "tpo.runs.history"),
    *("tpo.server.lifecycle", "tpo.server.service", "tpo.view.app", "tpo.evals.evaluate", "tpo.models.openai"),
    *("tpo.rewards.vllm", "aiohttp", "uvicorn", "jinja2", "rich.console", "numpy", "math_verify"),
    # Its list of fonts takes seconds in a new home.
    *("matplotlib.pyplot", "matplotlib.backends.backend_svg", "matplotlib.backends.backend_agg"),
)


def serve(path: str) -> None:
    """Fork for each connection, until standard input is closed: the process that started this one has ended."""
    import contextlib
    import importlib

    for name in MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(16)
        print("ready", flush=True)
        gc.freeze()  # what is imported is not looked through again in each fork
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches the whole group
        while listening in select.select([listening, sys.stdin], [], [])[0]:
            connection, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                answer(connection)
                return
            connection.close()


def answer(connection: socket.socket) -> None:
    """In a child: fork the command, and send its exit code back."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _, files, _, _ = socket.recv_fds(connection, 1, 3)
    with connection, connection.makefile("rw") as stream:
        asked = json.loads(stream.readline())
        command = os.fork()
        if command == 0:
            for number, file in enumerate(files):
                os.dup2(file, number)
                os.close(file)
            run(**asked)
            return
        for number, file in enumerate(files):
            os.close(file)
            os.close(number)
        threading.Thread(target=pass_on, args=(stream, command), daemon=True).start()
        _, status = os.waitpid(command, 0)
        stream.write(f"{os.waitstatus_to_exitcode(status)}\n")
        stream.flush()
    os._exit(0)


def pass_on(stream: TextIO, command: int) -> None:
    """Pass the caller's signals on; a caller that is gone takes the command along."""
    for line in stream:
        os.kill(command, int(line))
    os.kill(command, signal.SIGKILL)


def run(folder: str, environment: dict[str, str], arguments: list[str]) -> None:
    """In the child's child: become the command; what it raises ends the process as always."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = [*filter(None, environment.get("PYTHONPATH", "").split(":")), *sys.path[1:]]
    for action, _, category in (part.partition("::") for part in environment.get("PYTHONWARNINGS", "").split(",")):
        if action:
            warnings.simplefilter(action, getattr(builtins, category, Warning))  # type: ignore[arg-type]
    if arguments[0] == "tpo":
        from tpo.cli import main

        sys.argv = arguments
        program: Callable[[], object] = main
    else:
        sys.argv = arguments[1:]
        sys.path.insert(0, str(Path(sys.argv[0]).resolve().parent))
        program = partial(runpy.run_path, sys.argv[0], run_name="__main__")
    if environment.get("PYTHONWARNINGS"):
        program()  # what it leaves open is found when Python takes everything apart
    else:
        leave(program)


def leave(program: Callable[[], object]) -> None:
    """Run a program and end as Python does, but for taking apart all that is imported, which takes 0.15 seconds."""
    code: object = None
    try:
        program()
    except SystemExit as end:
        code = end.code
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def call(path: str, arguments: list[str]) -> int:
    """Run a command in a fork, and return its exit code."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        socket.send_fds(connection, [b"."], [0, 1, 2])
        with connection.makefile("rw") as stream:
            asked: dict[str, Any] = {"folder": str(Path.cwd()), "environment": dict(os.environ), "arguments": arguments}
            stream.write(json.dumps(asked) + "\n")
            stream.flush()

            def report(number: int, frame: FrameType | None) -> None:
                connection.sendall(f"{number}\n".encode())

            signal.signal(signal.SIGTERM, report)
            signal.signal(signal.SIGINT, report)
            code = int(stream.readline())
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        sys.exit(call(sys.argv[1], sys.argv[2:]))
