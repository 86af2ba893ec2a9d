"""Test-time preference optimization: align a model's answers with a reward while it answers.

    import tpo

    result = tpo.align_sync("How do I take care of a wooden table?")
    print(result.answer, result.reward)

Names are loaded when they are first used, so that `import tpo` costs next to nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tpo.api import align, align_sync, replay, run_dataset, run_dataset_sync
    from tpo.candidate import Candidate
    from tpo.engine.limits import Budget, Stopper
    from tpo.engine.result import Result, Step
    from tpo.errors import (
        CheckError,
        InputError,
        JournalError,
        ModelError,
        ModelUnavailable,
        PromptError,
        RewardError,
        TPOError,
    )
    from tpo.rewards.protocol import Reward, Score
    from tpo.session.session import Session
    from tpo.session.sync import SyncSession

__all__ = [
    "Budget",
    "Candidate",
    "CheckError",
    "InputError",
    "JournalError",
    "ModelError",
    "ModelUnavailable",
    "PromptError",
    "Result",
    "Reward",
    "RewardError",
    "Score",
    "Session",
    "Step",
    "Stopper",
    "SyncSession",
    "TPOError",
    "align",
    "align_sync",
    "replay",
    "run_dataset",
    "run_dataset_sync",
]

_MODULES = {
    "tpo.api": ("align", "align_sync", "replay", "run_dataset", "run_dataset_sync"),
    "tpo.candidate": ("Candidate",),
    "tpo.engine.limits": ("Budget", "Stopper"),
    "tpo.engine.result": ("Result", "Step"),
    "tpo.errors": (
        *("CheckError", "InputError", "JournalError", "ModelError", "ModelUnavailable"),
        *("PromptError", "RewardError", "TPOError"),
    ),
    "tpo.rewards.protocol": ("Reward", "Score"),
    "tpo.session.session": ("Session",),
    "tpo.session.sync": ("SyncSession",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("tpo")
    if name not in _HOME:
        raise AttributeError(f"module 'tpo' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


if "IPython" in sys.modules:
    from tpo.notebook import short_errors

    short_errors()
