"""Joining a Ray cluster, or starting one on this machine, and leaving it again."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import logging
import os
import queue
import signal
import socket
import threading
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tpo.errors import InputError

T = TypeVar("T")

LOCAL = "local"
AUTO = "auto"
# Seconds to connect to the address, and for Ray to join the cluster.
CONNECT = 10.0
JOIN = 90.0
TOKEN = "If it wants a token, set RAY_AUTH_MODE=token here as well, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH."
# A cluster that Ray started has its head marked with this.
HEAD = "node:__internal_head__"


@asynccontextmanager
async def joined(address: str) -> AsyncIterator[None]:
    """Join a cluster.

    Args:
        address: `auto` for the one that this machine is part of, `local` to start one here, `HOST:PORT`, or
            `ray://HOST:PORT`. A process that has joined a cluster already stays in that.

    Raises:
        InputError: Ray is not installed, or there is no cluster.
    """
    if find_spec("ray") is None or find_spec("pyarrow") is None:
        raise InputError("--ray needs Ray and its data library: pip install 'tpo[ray]'.")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        yield
        return
    await _reachable(address)
    try:
        await _in_thread(lambda: _init(ray, address), JOIN)
    except TimeoutError:
        raise InputError(
            f"The Ray cluster at {address} did not let this process in within {JOIN:.0f} s. {TOKEN}"
        ) from None
    except Exception as error:
        hint = f" {TOKEN}" if address not in (LOCAL, AUTO) else ""
        raise InputError(f"There is no Ray cluster to join at {address}: {_message(error)}{hint}") from error
    _take_signals_back()
    try:
        yield
    finally:
        with suppress(TimeoutError):
            await _in_thread(ray.shutdown, JOIN)


async def start_broker(made: Any, rewards: int | None) -> Any:
    """Start the run's broker on the cluster's head node.

    Args:
        made: the run's job.
        rewards: how many actors hold the reward.

    Raises:
        InputError: tpo is not installed there.
    """
    import ray
    from ray.exceptions import RayError

    from tpo.runs.ray.broker import Broker

    # In a thread, since all of this waits for the cluster.
    def start() -> Any:
        head = {HEAD: 0.001} if HEAD in ray.cluster_resources() else {}
        actor = ray.remote(num_cpus=0, resources=head, max_concurrency=10_000)(Broker)
        broker = actor.remote(made, rewards)
        ray.get(broker.nodes.remote())
        return broker

    try:
        return await _in_thread(start, JOIN)
    except TimeoutError:
        raise InputError(f"The Ray cluster's head node started no actor within {JOIN:.0f} s.") from None
    except RayError as error:
        raise InputError(
            f"The Ray cluster cannot run tpo: {_message(error)} All its nodes need tpo[ray] in the same version."
        ) from error


def _take_signals_back() -> None:
    """Restore our signal handlers: Ray's handler of SIGTERM aborts the process."""
    if threading.current_thread() is threading.main_thread():
        for name in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(name)
            if handler is not None:
                signal.signal(name, handler)


def _init(ray: Any, address: str) -> None:
    more: dict[str, Any] = {"include_dashboard": False} if address == LOCAL else {}
    logging.getLogger("ray").setLevel(logging.ERROR)
    with warnings.catch_warnings(action="ignore"):
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **more)


async def _reachable(address: str) -> None:
    """Connect to the address once: Ray itself would try for minutes."""
    if address in (LOCAL, AUTO):
        return
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or parts.scheme not in ("", "ray"):
        raise InputError(f"--ray {address} is no address of a cluster: give auto, local, HOST:PORT or ray://HOST:PORT.")
    if parts.scheme and find_spec("grpc") is None:
        raise InputError(f"--ray {address} needs Ray's client: pip install 'ray[client]'.")
    try:
        await _in_thread(lambda: socket.create_connection((host, port), CONNECT).close(), 2 * CONNECT)
    except (OSError, TimeoutError) as error:
        raise InputError(f"Nobody answers at {address} ({_message(error)}): is the Ray cluster up?") from error


async def _in_thread(work: Callable[[], T], seconds: float) -> T:
    """Run something that may never return.

    Raises:
        TimeoutError: it took longer; it continues in its thread, which does not keep the process alive.
    """
    future: concurrent.futures.Future[T] = concurrent.futures.Future()
    _work.put((work, future))
    _thread()
    async with asyncio.timeout(seconds):
        return await asyncio.wrap_future(future)


# One thread for everything that concerns a cluster. It never ends: processes that Ray starts on this machine die with
# the thread that started them (PR_SET_PDEATHSIG).
_work: queue.SimpleQueue[tuple[Callable[[], Any], concurrent.futures.Future[Any]]] = queue.SimpleQueue()


@functools.cache
def _thread() -> threading.Thread:
    def run() -> None:
        while True:
            work, future = _work.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except SystemExit as error:  # Ray ends the process when it gives up
                future.set_exception(RuntimeError(f"Ray ended with {error}"))
            except BaseException as error:
                future.set_exception(error)

    thread = threading.Thread(target=run, daemon=True, name="tpo-ray")
    thread.start()
    return thread


def _message(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    # A headline and a traceback: the error itself is the last line.
    text = f"{lines[0]} {lines[-1]}" if lines[0].endswith(":") else lines[0]
    return text if text.endswith((".", "!", "?")) else f"{text}."
