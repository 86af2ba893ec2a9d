"""A process that does work which may hang, crash or eat memory; it is killed when it takes too long.

A thread cannot be stopped and a signal does not interrupt arithmetic on huge numbers (nor reach any thread but
the main one), so a process is what remains. It is started when first used, and kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from importlib import import_module
from typing import Any

from tpo.errors import RewardError

_START_SECONDS = 120.0  # importing sympy on a busy machine

# The child gets the parent's import path, so that it finds the same packages in whatever way they came there.
_BOOT = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from tpo.rewards.verifiers.worker import serve; serve(sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))"
)


class WorkerStopped(Exception):
    """The work did not come to an end: it took too long, or the process died of it."""


class Worker:
    """Calls a function in a process of its own.

    Args:
        task: "module:function"; the function takes and returns what JSON can hold.
        seconds: how long one call may take.
        memory: bytes that the process may use, where the system can limit it.
    """

    def __init__(self, task: str, seconds: float, memory: int = 4 << 30) -> None:
        self._task = task
        self._seconds = seconds
        self._memory = memory
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()  # one request at a time: replies come in the order of requests

    def __call__(self, request: Any) -> Any:
        """What the function returns.

        Raises:
            WorkerStopped: it took too long or the process died; the next call starts a new one.
            RewardError: the process cannot be started or the function raised, which is a fault of ours.
        """
        line = json.dumps(request)
        with self._lock:
            process = self._running()
            reply = self._exchange(process, line, self._seconds)
            if reply is None:
                self._end(process)
                raise WorkerStopped(f"it was stopped, after at most {self._seconds:g} s")
        return self._result(reply)

    def _running(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        limits = (self._seconds, self._memory)
        command = [sys.executable, "-P", "-c", _BOOT, json.dumps(sys.path), self._task, *map(str, limits)]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C in a terminal ends the run, which ends this process
            )
        except OSError as error:
            raise RewardError(f"The verifier's process cannot be started: {error}.") from error
        self._process = process
        weakref.finalize(self, _kill, process)
        ready = self._exchange(process, None, _START_SECONDS)
        if ready is None:
            self._end(process)
            raise RewardError(f"The verifier's process for {self._task} ended before it was ready.")
        self._result(ready)
        return process

    def _exchange(self, process: subprocess.Popen[str], line: str | None, seconds: float) -> str | None:
        """A line out, a line in; None if the process ended or was killed meanwhile."""
        assert process.stdin is not None and process.stdout is not None
        timer = threading.Timer(seconds, process.kill)
        timer.daemon = True
        timer.start()
        try:
            if line is not None:
                process.stdin.write(f"{line}\n")
                process.stdin.flush()
            return process.stdout.readline() or None
        except (OSError, ValueError):
            return None
        finally:
            timer.cancel()

    def _end(self, process: subprocess.Popen[str]) -> None:
        _kill(process)
        self._process = None

    def _result(self, reply: str) -> Any:
        answer = json.loads(reply)
        if "fault" in answer:
            raise RewardError(f"The verifier's process for {self._task} failed: {answer['fault']}.")
        return answer["result"]


def _kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def serve(task: str, seconds: float, memory: int) -> None:
    """The child's side: answer every line on stdin with a line on stdout, until stdin ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):  # what the task prints must not pass for a reply
        os.dup2(silence, stream)
    _limit(memory)
    module, _, name = task.partition(":")
    function: Any = None
    try:
        function = getattr(import_module(module), name)
        _respond(replies, lambda: None)
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
        print(json.dumps({"fault": fault}), file=replies, flush=True)
        return
    for line in requests:
        _alarm(seconds + 1.0)
        _respond(replies, lambda line=line: function(json.loads(line)))  # type: ignore[misc]
        _alarm(0.0)


def _respond(replies: Any, call: Callable[[], Any]) -> None:
    try:
        reply = {"result": call()}
    except MemoryError:
        os._exit(1)  # what is left of the process is not to be trusted
    except BaseException as error:
        reply = {"fault": f"{type(error).__name__}: {str(error)[:500]}"}
    print(json.dumps(reply), file=replies, flush=True)


def _alarm(seconds: float) -> None:
    # Nothing catches SIGALRM, so it ends the process, whatever that is doing. The parent is quicker, but may be dead.
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _limit(memory: int) -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):  # not on Windows, and macOS refuses some
        pass
