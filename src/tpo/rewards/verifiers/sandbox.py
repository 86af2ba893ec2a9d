"""Running untrusted code, with as few rights as an unprivileged process can arrange.

In layers, each used where the system has it: namespaces of its own (no network, no other processes, files in
memory), Landlock (no files but Python's and a scratch folder), limits on time, memory, files and processes, an
empty environment, and for root another user. This holds off accidents and simple malice. It is no virtual machine.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from tpo.errors import InputError, RewardError

# The programs that run in the sandbox are copied into the scratch folder: the other user may have no right to read tpo.
_PROGRAMS = tuple((Path(__file__).parent / "sandbox_child").glob("*.py"))
# The folder leaves the import path again before any foreign code runs.
_BOOT = "import sys; sys.path.insert(0, sys.argv[1]); import harness; sys.path.pop(0); harness.main(sys.argv[1])"
_NAMESPACES = ("--user", "--map-root-user", "--net", "--ipc", "--pid", "--fork", "--kill-child")
_NOBODY = 65534
_REPORT = 1 << 20  # bytes of report that are read


class SandboxLimits(NamedTuple):
    """What a run may use.

    Attributes:
        seconds: of wall time for everything, starting Python included.
        memory: bytes of address space.
        file: bytes in one file.
        processes: and threads; without a process namespace there is only one.
    """

    seconds: float = 10.0
    memory: int = 1 << 30
    file: int = 16 << 20
    processes: int = 32


class Launch(NamedTuple):
    """How a sandboxed process is started here.

    Attributes:
        prefix: the command in front of Python.
        as_nobody: whether root's rights are dropped for another user's.
        network: "blocked"; "TCP blocked", if other protocols are open; or "open".
        files: whether files outside the scratch folder are out of reach.
        processes: whether a run can have only so many processes.
    """

    prefix: tuple[str, ...]
    as_nobody: bool
    network: str
    files: bool
    processes: bool

    def open_doors(self) -> list[str]:
        """What code that runs here could still do, in words."""
        doors = []
        if self.network != "blocked":
            doors.append("use the network" if self.network == "open" else "use the network other than by TCP")
        if not self.files:
            doors.append("read and write the files of this user")
        if not self.processes:
            doors.append("start any number of processes")
        return doors


class SandboxRun(NamedTuple):
    """The result of a run: the events that the harness reported, and whether time ran out."""

    events: list[dict[str, Any]]
    timed_out: bool


def run(job: dict[str, Any], limits: SandboxLimits) -> SandboxRun:
    """Run a job in the best sandbox that there is; see `sandbox_child/harness.py` for jobs and events."""
    return _run(job, limits, launch().prefix, launch().as_nobody)


@functools.cache
def launch() -> Launch:
    """How to start a sandbox here; found out once, by trying.

    Raises:
        InputError: the system is not one where code can be confined at all, or root's rights cannot be taken away.
        RewardError: no process could be started.
    """
    if os.name != "posix":
        raise InputError("verifier:code needs Linux or macOS: code cannot be confined on this system.")
    unshare = shutil.which("unshare")
    prefixes = [(unshare, *_NAMESPACES, "--mount-proc", "--"), (unshare, *_NAMESPACES, "--mount", "--")]
    users = [True, False] if os.geteuid() == 0 else [False]
    for prefix in [*(prefixes if unshare else []), ()]:
        for as_nobody in users:
            found = _tried(tuple(part for part in prefix if part), as_nobody)
            if found is not None and (os.geteuid() != 0 or found.as_nobody or found.files):
                return found
    if os.geteuid() == 0:
        raise InputError(
            "verifier:code cannot confine code that is run by root here, which could then do anything: "
            "run it as an ordinary user."
        )
    raise RewardError("verifier:code cannot start Python in a process of its own.")


def _tried(prefix: tuple[str, ...], as_nobody: bool) -> Launch | None:
    job = {"code": "", "steps": []}
    try:
        events, _ = _run(job, SandboxLimits(seconds=30.0), prefix, as_nobody)
    except OSError:
        return None
    if not any(event.get("done") for event in events):
        return None
    confined = next(event["confined"] for event in events if "confined" in event)
    network = "blocked" if prefix else "TCP blocked" if confined["tcp"] else "open"
    # The system's limit on processes does not hold for root.
    return Launch(prefix, as_nobody, network, confined["files"], os.geteuid() != 0 or as_nobody)


def _run(job: dict[str, Any], limits: SandboxLimits, prefix: tuple[str, ...], as_nobody: bool) -> SandboxRun:
    nonce = secrets.token_hex(16)
    numbers = {
        "cpu": max(1, round(limits.seconds + 1)),
        "memory": limits.memory,
        "file": limits.file,
        "processes": limits.processes,
    }
    with tempfile.TemporaryDirectory(prefix="tpo-code-", ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "job.json"
        file.write_text(json.dumps({**job, "nonce": nonce, "limits": numbers}), encoding="utf-8")
        for program in _PROGRAMS:
            shutil.copy(program, folder)
        if as_nobody:
            for path in (Path(folder), *Path(folder).iterdir()):
                os.chown(path, _NOBODY, _NOBODY)
        report, timed_out = _report(folder, limits.seconds, prefix, as_nobody)
    return SandboxRun(_events(report, nonce), timed_out)


def _report(folder: str, seconds: float, prefix: tuple[str, ...], as_nobody: bool) -> tuple[bytes, bool]:
    """What the process wrote until it ended, closed its output, wrote too much, or ran out of time."""
    user: dict[str, Any] = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if as_nobody else {}
    process = subprocess.Popen(
        [*prefix, sys.executable, "-I", "-B", "-c", _BOOT, folder],
        cwd=folder,
        env=_environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        **user,
    )
    assert process.stdout is not None
    deadline = time.monotonic() + seconds
    report = b""
    timed_out = False
    try:
        with process.stdout as output, selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while len(report) < _REPORT:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    timed_out = True
                    break
                piece = os.read(output.fileno(), 65536)
                if not piece:
                    break
                report += piece
    finally:
        _kill(process, bool(prefix))
    return report, timed_out


def _kill(process: subprocess.Popen[bytes], is_wrapped: bool) -> None:
    if is_wrapped:
        # First the child of `unshare`, which then reaps it and ends by itself. Killed together, they would leave
        # the child to a first process that in many containers reaps no children.
        with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
            for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)
            process.wait(1.0)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()
    process.wait()


def _environment(folder: str) -> dict[str, str]:
    # Nothing of ours. Numerical libraries would start a thread, and claim memory, for each core.
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {"HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", **threads}


def _events(report: bytes, nonce: str) -> list[dict[str, Any]]:
    events = []
    for line in report.decode("utf-8", "replace").splitlines():
        if line.startswith(nonce):
            try:
                event = json.loads(line.removeprefix(nonce))
            except ValueError:  # cut off
                continue
            if isinstance(event, dict):
                events.append(event)
    return events
