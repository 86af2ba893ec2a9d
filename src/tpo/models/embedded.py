"""The embedded model: llama.cpp inside this process, listening on the loopback like any other server.

So it needs no code of its own to talk to: whatever speaks to an OpenAI-compatible server speaks to it. A second file
can run beside the first (as critic, for example); it takes its own memory and half of the processor.

Its answers depend on nothing but the request as long as requests come one at a time: `n` answers in one request are
bit for bit the same each time, and equal `n` requests with the seeds `seed`, `seed + 1` and so on. Requests that
overlap share batches, and the size of a batch shows in the last digits. For the same reason a prompt that begins like
an earlier one is not taken up from there, unless its request sets `"cache_prompt": true`: what it continues must be
the request before it, and then its answers are the same each time as well (docs/embedded.md).
"""

from __future__ import annotations

import atexit
import ctypes
import os
import secrets
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from tpo.errors import InputError, ModelError
from tpo.models.gguf import Head, read_head
from tpo.models.machine import available_memory, usable_cpus

# 8, 32 and 64 slots ran 5 answers at 166, 170 and 167 tokens/s (SmolLM2-135M, 2 cores): slots are free.
SLOTS = 32

# Each of four long answers can reach the end of the training context, or 32 can have 1024 tokens in 32768.
_FULL_SEQUENCES = 4
_KV_BYTES = 2 << 30
# Below this a run's prompts (question, two answers, critique) do not fit beside an answer.
_SMALL_CONTEXT = 8192
_STEP = 256

_HOST = "127.0.0.1"
_DESCRIPTORS = Path("/dev/fd")

_running: dict[Path, EmbeddedServer] = {}
_lock = threading.Lock()
# Whether an engine ran when this process was forked. What llama.cpp keeps for all engines is broken then: another one
# can be started and never be stopped, and a child that leaves by sys.exit hangs (multiprocessing leaves by os._exit).
_inherited = False


class EmbeddedServer:
    """A running model.

    Attributes:
        url: where it listens, with /v1.
        api_key: without it, requests are refused: other users of this machine can reach the loopback too.
        name: the model's name: the file's, without its ending.
        slots: answers that can be written at the same time, and the largest `n` of a request.
        context: tokens of all answers and prompts in flight together; one alone gets no more than the training
            context.
    """

    def __init__(self, engine: Any, path: Path, api_key: str, slots: int, context: int) -> None:
        self._engine = engine
        self._path = path
        self.url = f"{engine.listening_address}/v1"
        self.api_key = api_key
        self.name = path.stem
        self.slots = slots
        self.context = context

    def close(self) -> None:
        """Stop it and free its memory; requests in flight break off. May be called again."""
        if _running.get(self._path) is self:
            del _running[self._path]
        if self._engine is not None:
            # The destructor joins the engine's threads and holds the interpreter while it does: where one of them
            # waited for a client in this process, both would wait for ever.
            _hang_up(int(self._engine.listening_address.rpartition(":")[2]))
            self._engine = None

    def _abandon(self) -> None:
        # Joining threads that only the parent has would wait for ever, so the destructor must never run.
        if self._engine is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._engine))
            self._engine = None


def start(path: Path | str, *, slots: int = SLOTS, context: int | None = None) -> EmbeddedServer:
    """Load a GGUF file and serve it; a file that runs already is served by the server that it has.

    Args:
        path: the file (of a model in several, the first).
        slots: answers at the same time, at least 1; they share the context.
        context: tokens for all that is in flight together; by default what the model and the memory suggest.

    Raises:
        InputError: slots or context are out of range.
        ModelError: the file is missing, broken or unknown to llama.cpp, memory is short, the engine is not
            installed, or this process was forked from one that runs a model.
    """
    path = Path(path).expanduser().resolve()
    if slots < 1:
        raise InputError(f"An embedded model cannot run with {slots} slots: give at least 1.")
    if context is not None and context < _STEP:
        raise InputError(f"A context of {context} tokens is too small for an embedded model: give at least {_STEP}.")
    with _lock:
        if _inherited:
            raise ModelError(
                "The embedded model cannot run in a process that was forked while its parent ran one: start workers "
                "with multiprocessing's 'spawn' method, or let them use a server (--policy URL)."
            )
        if path not in _running:
            _running[path] = _started(path, slots, context)
        return _running[path]


def _started(path: Path, slots: int, context: int | None) -> EmbeddedServer:
    head = read_head(path)
    xllamacpp = _xllamacpp()
    context = _context(path, head, context)
    api_key = secrets.token_urlsafe(24)
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {path.stem}
    params.api_keys = [api_key]
    params.hostnames = [_HOST]
    params.port = 0
    params.ui = False
    params.verbosity = -1
    params.n_parallel = slots
    params.n_ctx = context
    params.kv_unified = True
    # With it, texts depend on earlier requests: a prompt found in part is evaluated in other batches. A
    # request may still turn it on, where it continues the one before.
    params.cache_prompt = False
    # Forget the prompts of idle slots, over which attention would still run (a 1500-token prompt took 8 s instead
    # of 5.5 after six others). It is done only where there is a place to save them, and so that is made tiny (MiB).
    # So, too, all that a request can find to continue is the request before it, and no older run's.
    params.cache_idle_slots = True
    params.cache_ram_mib = 1
    # Everything else is llama.cpp's own choice, because no other was faster (SmolLM2-135M as Q8_0, 2 cores, tokens/s
    # for 5 answers and for a prompt; 151 and 449 as it is): batches of 2048 tokens within 3 % of 512, flash
    # attention off 30 % and 20 % slower, keys and values in 8 bits as fast in answers and 40 % slower in prompts.
    cpus = usable_cpus()
    if cpus < (os.cpu_count() or 1):
        # llama.cpp counts the machine's cores, and with more threads than cores they wait for each other.
        params.cpuparams.n_threads = cpus
        params.cpuparams_batch.n_threads = cpus
    try:
        engine = xllamacpp.Server(params)
    except (RuntimeError, MemoryError) as error:
        raise ModelError(
            f"llama.cpp could not load {path} ({head.size / 1e6:.0f} MB) with a context of {context} tokens: the file "
            f"is damaged, of an architecture that this xllamacpp does not know (try `pip install -U xllamacpp`), or "
            f"memory is short (try a smaller file)."
        ) from error
    return EmbeddedServer(engine, path, api_key, slots, context)


def _xllamacpp() -> ModuleType:
    try:
        with _short_spins():
            import xllamacpp
    except ImportError as error:
        raise ModelError(
            f"The embedded engine cannot be loaded ({error}): `pip install xllamacpp`, where it has a wheel for this "
            f"platform, or name a server with --policy URL."
        ) from error
    return xllamacpp  # type: ignore[no-any-return]


@contextmanager
def _short_spins() -> Iterator[None]:
    """Have OpenMP's threads give way soon, where the user has set nothing; it reads this once, when it is loaded.

    By default they spin at each barrier for as long as a core is busy elsewhere. Two engines at once on 2 cores
    wrote 57 tokens/s each with this, and without it not 1000 tokens in 100 s; an engine alone is as fast as before.
    """
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    if any(name in os.environ for name in names):
        yield
        return
    os.environ[names[0]] = "1000"
    try:
        yield
    finally:
        del os.environ[names[0]]


def _context(path: Path, head: Head, requested: int | None) -> int:
    memory = available_memory()
    # The file is mapped, but it is read whole for every token: what does not stay in memory is read from disk.
    left = max(memory - head.size, 0)
    trained = head.train_context or _SMALL_CONTEXT
    least = requested or min(trained, _SMALL_CONTEXT)
    if least * head.kv_bytes > left:
        raise ModelError(
            f"{path} needs {(head.size + least * head.kv_bytes) / 1e9:.1f} GB of memory with a context of {least} "
            f"tokens, and {memory / 1e9:.1f} GB are free: take a smaller or more strongly quantized file."
        )
    if requested:
        return requested
    wanted = _FULL_SEQUENCES * trained
    if head.kv_bytes:
        wanted = min(wanted, min(_KV_BYTES, left // 4) // head.kv_bytes)
    return max(wanted // _STEP * _STEP, least)


def _hang_up(port: int) -> None:
    """Shut the connections to a port of this process."""
    # Where there is no such folder (Windows), clients must be closed first.
    for entry in list(_DESCRIPTORS.iterdir()) if _DESCRIPTORS.is_dir() else ():
        with suppress(OSError):
            number = int(entry.name)
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            # A duplicate, so that closing it leaves its owner's descriptor alone.
            with socket.socket(fileno=os.dup(number)) as connection:
                if connection.family == socket.AF_INET and connection.getsockname() == (_HOST, port):
                    connection.getpeername()  # the socket that listens has none, and is left to its owner
                    connection.shutdown(socket.SHUT_RDWR)


def _close_all() -> None:
    for server in list(_running.values()):
        server.close()


def _forked() -> None:
    """In a forked child: leave the parent's engines alone."""
    global _lock, _inherited
    _lock = threading.Lock()
    _inherited = _inherited or bool(_running)
    for server in _running.values():
        server._abandon()
    _running.clear()


# Before the interpreter takes its modules apart, while threads can still be joined.
atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
