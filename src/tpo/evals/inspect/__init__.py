"""Inspect AI (extra `evals`): tpo as a model provider, and our benchmarks as tasks.

Inspect finds this by the entry point `inspect_ai`, so `--model tpo/…` and `inspect eval tpo/math500` work wherever tpo
is installed. https://inspect.aisi.org.uk/extensions.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspect_ai.model import modelapi

from tpo.evals.inspect.tasks import (
    alpaca_eval,
    arena_hard,
    beavertails,
    gsm8k,
    hh_rlhf,
    ifeval,
    math500,
    mt_bench,
    xstest,
)

if TYPE_CHECKING:
    from tpo.evals.inspect.provider import TpoAPI

__all__ = ["alpaca_eval", "arena_hard", "beavertails", "gsm8k", "hh_rlhf", "ifeval", "math500", "mt_bench", "xstest"]


@modelapi(name="tpo")
def tpo() -> type[TpoAPI]:
    """The provider, loaded with its first model."""
    from tpo.evals.inspect.provider import TpoAPI

    return TpoAPI
