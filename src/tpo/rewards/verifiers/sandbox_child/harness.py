"""Runs an answer's code and its tests; the program that the sandbox starts. It imports nothing of tpo."""

from __future__ import annotations

import json
import os
import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confine import confine  # type: ignore[import-not-found]

Report = Callable[..., None]


def main(folder: str) -> None:
    """Confine this process, then run the job that lies in the folder, and leave nothing of ours there.

    The job's JSON has "nonce", "code", "steps" and "limits". Every line of the report begins with the
    nonce, since the code shares this process and may print anything.
    """
    job = json.loads(Path(folder, "job.json").read_text(encoding="utf-8"))
    for file in Path(folder).iterdir():
        file.unlink()
    report = _reporter(job.pop("nonce"))
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    report(confined=confine(folder, job["limits"]), pid=os.getpid())
    _run(job, report)
    report(done=True)
    os._exit(0)  # threads that the code left behind do not hold us up


def _reporter(nonce: str) -> Report:
    channel, write, dumps = os.dup(1), os.write, json.dumps

    def report(**event: Any) -> None:
        write(channel, f"{nonce}{dumps(event)}\n".encode())

    return report


def _run(job: dict[str, Any], report: Report) -> None:
    module = types.ModuleType("solution")
    sys.modules["solution"] = module  # tests may contain `from solution import f`
    fault = _fault(job["code"], "answer", module.__dict__)
    report(loaded=fault)
    if fault is not None:
        return
    scope = dict(module.__dict__)
    scope["__name__"] = "tests"
    for step in job["steps"]:
        if step["test"] is None:
            fault = _fault(step["source"], "tests", scope)
            if fault is not None:
                report(setup=fault)
                return
        else:
            report(start=step["test"])
            fault = _fault(step["source"], "tests", scope)
            report(end=step["test"], fault=fault)


def _fault(source: str, name: str, scope: dict[str, Any]) -> str | None:
    """What running a piece of code raised, in a line; None if it came to its end."""
    try:
        exec(compile(source, name, "exec"), scope)
    except BaseException as error:
        return _described(error)
    return None


def _described(error: BaseException) -> str:
    try:
        text = " ".join(str(error).split())[:300]
        if isinstance(error, SyntaxError):
            return f"SyntaxError: {error.msg} (line {error.lineno} of the code)"
        frames = traceback.walk_tb(error.__traceback__)
        lines = [line for frame, line in frames if frame.f_code.co_filename == "answer"]
        where = f" (line {lines[-1]} of the code)" if lines else ""
        return f"{type(error).__name__}{': ' if text else ''}{text}{where}"
    except BaseException:  # the code may raise exceptions that cannot be printed
        return "an exception that cannot be shown"
