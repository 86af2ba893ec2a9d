"""Giving up rights: what the process that runs an answer's code does to itself before that code runs.

It runs inside the sandbox and imports nothing of tpo. Landlock is described in the Linux kernel's documentation,
https://docs.kernel.org/userspace-api/landlock.html; its system calls have the same numbers on every architecture.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import struct
import sys
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_NO_NEW_PRIVS = 38
_READ = 1 << 0 | 1 << 2 | 1 << 3  # execute, read file, read directory
_READ_FILE, _WRITE_FILE = 1 << 2, 1 << 1
_TCP = 1 << 0 | 1 << 1  # bind, connect
_SCOPED = 1 << 0 | 1 << 1  # abstract sockets, signals
_READABLE = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin", "/etc/ld.so.cache", "/etc/localtime")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")


def confine(folder: str, limits: dict[str, int]) -> dict[str, bool]:
    """Give up what can be given up.

    Args:
        folder: the one folder that stays writable.
        limits: "cpu" in seconds, "memory" and "file" in bytes, "processes".

    Returns:
        What was achieved: "files" if only the folder and Python's own files are in reach, "tcp" if no TCP
        connection can be made.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if os.getpid() == 1:  # in namespaces of our own: a file system in memory bounds what all files together take
        options = f"size={limits['file'] * 4},mode=700".encode()
        if libc.mount(b"tmpfs", folder.encode(), b"tmpfs", 0, options) == 0:
            os.chdir(folder)
    abi = _landlock(libc, folder)
    for name, value in (
        ("RLIMIT_CPU", limits["cpu"]),
        ("RLIMIT_AS", limits["memory"]),
        ("RLIMIT_FSIZE", limits["file"]),
        ("RLIMIT_NOFILE", 64),
        ("RLIMIT_CORE", 0),
        # In a process namespace children die with it. Elsewhere they could outlive us, so there are none.
        ("RLIMIT_NPROC", limits["processes"] if os.getpid() == 1 else 1),
    ):
        with contextlib.suppress(AttributeError, ValueError, OSError):  # macOS has no limit on memory
            resource.setrlimit(getattr(resource, name), (value, value))
    return {"files": abi > 0, "tcp": abi >= 4}


def _landlock(libc: ctypes.CDLL, folder: str) -> int:
    """Deny all files but the folder (all rights) and Python's own (reading); returns Landlock's version, 0 if none."""
    if not sys.platform.startswith("linux"):
        return 0
    abi = int(libc.syscall(_CREATE_RULESET, None, 0, 1))
    if abi <= 0:
        return 0
    every = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(abi, 16)) - 1
    attributes = struct.pack("=QQQ", every, _TCP if abi >= 4 else 0, _SCOPED if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = int(libc.syscall(_CREATE_RULESET, attributes, size, 0))
    if ruleset < 0:
        return 0
    homes = {os.path.realpath(home) for home in (sys.prefix, sys.base_prefix, sys.exec_prefix)} - {"/"}
    for path in [*_READABLE, *homes]:
        _allow(libc, ruleset, path, _READ if Path(path).is_dir() else _READ_FILE)
    for path in _DEVICES:
        _allow(libc, ruleset, path, _READ_FILE | _WRITE_FILE)
    _allow(libc, ruleset, folder, every)
    libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    done = int(libc.syscall(_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)
    return abi if done == 0 else 0


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    libc.syscall(_ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, handle), 0)
    os.close(handle)
