"""The synchronous twin of a session, for scripts, notebooks and threads: it owns an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

from tpo.engine.events import Event
from tpo.engine.result import Result
from tpo.errors import InputError
from tpo.session.session import Session

T = TypeVar("T")


class SyncSession:
    """`with SyncSession(policy=…, reward=…) as session: session.align(query)`.

    It works inside a running event loop too, such as a notebook's, and several threads may use one session at once.
    Without `with` it opens at the first query, and `close` closes it.

    Args:
        options: as for `Session`.

    Raises:
        InputError: an option is out of range or unknown.
    """

    def __init__(self, **options: Any) -> None:
        self._session = Session(**options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tpo-session", daemon=True)
        self._starting = threading.Lock()

    def __repr__(self) -> str:
        return f"Sync{self._session!r}"

    def _repr_html_(self) -> str:
        """The session in a notebook; see `Session`."""
        return self._session._repr_html_()

    def __enter__(self) -> Self:
        try:
            self._run(self._session.open())
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def align(self, query: str | Sequence[Mapping[str, Any]], **options: Any) -> Result:
        """Answer one query; see `Session.align`."""
        return self._run(self._session.align(query, **options))

    def stream(self, query: str | Sequence[Mapping[str, Any]], **options: Any) -> Iterator[Event | Result]:
        """Answer one query and yield what happens, the `Result` last; see `Session.stream`."""
        events = self._session.stream(query, **options)

        async def following() -> Event | Result | None:
            return await anext(events, None)

        async def ended() -> None:
            await events.aclose()

        try:
            while (event := self._run(following())) is not None:
                yield event
        finally:
            if not self._loop.is_closed():
                self._run(ended())

    def close(self) -> None:
        """Close what the session opened, and end its thread."""
        if self._loop.is_closed():
            return
        if self._thread.is_alive():
            self._run(self._session.aclose())
            self._run(self._loop.shutdown_asyncgens())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        with self._starting:
            if self._loop.is_closed():
                work.close()
                raise InputError("The session is closed: make another SyncSession.")
            if not self._thread.is_alive():
                self._thread.start()
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:  # Ctrl-C in the waiting thread ends the work too
            future.cancel()
            raise


def run_sync(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end from synchronous code, with or without a loop running in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    # A notebook's loop is busy with this very call: the work gets a loop and a thread of its own.
    with ThreadPoolExecutor(1, thread_name_prefix="tpo") as pool:
        return pool.submit(asyncio.run, work).result()
