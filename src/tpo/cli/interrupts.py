"""Ctrl-C and SIGTERM end a command cleanly, and keep what was done."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible(stop: Callable[[], bool]) -> Iterator[None]:
    """The first signal stops the work inside in an orderly way; the second one ends the process.

    Must be entered in a running event loop.

    Args:
        stop: begins an orderly end; returns false where there is nothing yet that could end so.

    Raises:
        KeyboardInterrupt: nothing had begun yet.
    """
    task, loop = asyncio.current_task(), asyncio.get_running_loop()

    def interrupt() -> None:
        for name in SIGNALS:  # a second Ctrl-C ends the process at once
            loop.remove_signal_handler(name)
        if not stop() and task is not None:
            task.cancel()

    with suppress(NotImplementedError):  # Windows has no signal handlers in its loop; Ctrl-C raises there
        for name in SIGNALS:
            loop.add_signal_handler(name, interrupt)
    try:
        yield
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        with suppress(NotImplementedError):  # else the loop would keep signals that come later, and end nothing
            for name in SIGNALS:
                loop.remove_signal_handler(name)
