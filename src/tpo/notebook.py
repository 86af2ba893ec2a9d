"""In a notebook: progress while a query is answered, and one line instead of a traceback for tpo's own errors."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

# Seconds between two changes of the progress line.
BEAT = 0.2


def shell() -> Any:
    """The IPython shell that runs this code; None outside of one."""
    module = sys.modules.get("IPython")
    return module.get_ipython() if module is not None else None


def in_notebook() -> bool:
    """Whether cells of a notebook are being run."""
    current = shell()
    return current is not None and getattr(current, "kernel", None) is not None


def short_errors() -> None:
    """Show errors of tpo in one line, in the IPython shell that runs this code."""
    current = shell()
    if current is None:
        return
    from tpo.errors import TPOError

    def handle(self: Any, kind: type[BaseException], error: BaseException, traceback: Any, **_: Any) -> list[str]:
        line = f"{kind.__name__}: {error}"
        if getattr(self, "kernel", None) is None:
            print(line, file=sys.stderr)
        return [line]

    current.set_custom_exc((TPOError,), handle)


class Line:
    """One line of text below the cell, which changes now and then; the last text is always shown.

    Args:
        text: the first text.
    """

    def __init__(self, text: str) -> None:
        from IPython.display import display  # type: ignore[import-not-found,unused-ignore]

        self._handle: Any = display(  # type: ignore[no-untyped-call,unused-ignore]
            {"text/plain": text}, raw=True, display_id=True
        )
        self._shown = 0.0

    def change(self, text: Callable[[], str], *, last: bool = False) -> None:
        """Show another text, unless one was shown a moment ago."""
        now = time.monotonic()
        if last or now - self._shown >= BEAT:
            self._shown = now
            self._handle.update({"text/plain": text()}, raw=True)


def progress(question: str) -> Callable[[object], None] | None:
    """A listener for events that shows one line of progress below the cell; None outside of a notebook.

    Args:
        question: what is answered; its beginning tells the lines of several searches apart.
    """
    if not in_notebook():
        return None
    from tpo.candidate import best_reward
    from tpo.engine.records import Ended, Prompted, Scored
    from tpo.representations import shortened

    title = f"tpo, {shortened(question, 40)!r}"
    line = Line(f"{title}: …")
    step, name = 0, ""
    scores: dict[str, Scored] = {}

    def text() -> str:
        best = best_reward(scores.values())
        reward = "" if best is None else f", best reward {best:.3f}"
        return f"{title}: step {step} ({name}), {len(scores)} answers scored{reward}"

    def listen(event: object) -> None:
        nonlocal step, name
        match event:
            case Prompted():
                step, name = event.step, event.name
            case Scored() if event.reward is not None:
                scores[event.id] = event
            case Ended():
                pass
            case _:
                return
        line.change(text, last=isinstance(event, Ended))

    return listen
