"""In a notebook: progress while a query is answered, and one line instead of a traceback for tpo's own errors."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

# Seconds between two changes of the progress line.
_BEAT = 0.2


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


def progress(title: str = "tpo") -> Callable[[object], None] | None:
    """A listener for events that shows one line of progress below the cell; None outside of a notebook.

    Args:
        title: the beginning of the line.
    """
    if not in_notebook():
        return None
    from IPython.display import display  # type: ignore[import-not-found,unused-ignore]

    from tpo.engine.records import Ended, Prompted, Scored

    state: dict[str, Any] = {"step": 0, "answers": 0, "best": None, "shown": 0.0, "name": ""}
    handle: Any = display(  # type: ignore[no-untyped-call,unused-ignore]
        {"text/plain": f"{title}: …"}, raw=True, display_id=True
    )

    def listen(event: object) -> None:
        match event:
            case Prompted():
                state["step"], state["name"] = event.step, event.name
            case Scored() if event.reward is not None:
                state["answers"] += 1
                state["best"] = event.reward if state["best"] is None else max(state["best"], event.reward)
            case Ended():
                state["shown"] = 0.0
            case _:
                return
        now = time.monotonic()
        if now - state["shown"] < _BEAT:
            return
        state["shown"] = now
        best = "" if state["best"] is None else f", best reward {state['best']:.3f}"
        line = f"{title}: step {state['step']} ({state['name']}), {state['answers']} answers scored{best}"
        handle.update({"text/plain": line}, raw=True)

    return listen
