"""The benchmarks by name: ours, those of installed packages, `python:MODULE:NAME`, and a user's own data."""

from __future__ import annotations

from typing import Any

from tpo import plugins
from tpo.errors import InputError, TPOError
from tpo.evals.benchmarks.protocol import Benchmark
from tpo.evals.benchmarks.user_data import UserData
from tpo.evals.data import Source
from tpo.rewards import user_code
from tpo.specs import did_you_mean

GROUP = "tpo.benchmarks"
PYTHON = "python:"

# In the order of the paper's table; those beyond the paper come last.
BENCHMARKS = {
    "alpaca_eval": "tpo.evals.benchmarks.alpaca_eval:AlpacaEval",
    "arena_hard": "tpo.evals.benchmarks.arena_hard:ArenaHard",
    "hh_rlhf": "tpo.evals.benchmarks.hh_rlhf:HhRlhf",
    "beavertails": "tpo.evals.benchmarks.beavertails:BeaverTails",
    "xstest": "tpo.evals.benchmarks.xstest:XSTest",
    "math500": "tpo.evals.benchmarks.math500:Math500",
    "ifeval": "tpo.evals.benchmarks.ifeval:IFEvalBenchmark",
    "mt_bench": "tpo.evals.benchmarks.mt_bench:MTBench",
    "gsm8k": "tpo.evals.benchmarks.gsm8k:GSM8K",
}


def find_benchmark(name: str, source: Source | None = None) -> Benchmark:
    """The benchmark of that name.

    Args:
        name: a registered name, `python:MODULE:NAME`, or the name under which the source has the user's own data.
        source: where data is.

    Raises:
        InputError: there is none (the message lists those there are), or what was named is no benchmark.
    """
    if name.startswith(PYTHON):
        return _made(user_code.load(name.removeprefix(PYTHON), "benchmark"), name)
    known = plugins.registered(GROUP, BENCHMARKS)
    point = known.get(name) or known.get(name.replace("-", "_"))
    if point is None:
        if source is not None and name in source.names():
            return UserData(name)
        raise InputError(
            f"There is no benchmark {name!r}: choose one of {', '.join(known)}, write python:MODULE:NAME for a class "
            f"of your own, or give your own queries with --data {name}=FILE.{did_you_mean(name, known)}"
        )
    return _made(plugins.load(point, "benchmark", BENCHMARKS), point.name)


def _made(target: Any, name: str) -> Benchmark:
    """A benchmark from the benchmark itself, its class, or a function without arguments that makes it."""
    made = target
    if not isinstance(target, Benchmark) and callable(target):
        try:
            made = target()
        except TPOError:
            raise
        except Exception as error:
            raise InputError(f"The benchmark {name} cannot be made: {user_code.described(error)}.") from error
    if not isinstance(made, Benchmark):
        raise InputError(
            f"The benchmark {name} is of type {type(made).__name__}: a subclass of tpo.evals.benchmarks.Benchmark is "
            f"expected."
        )
    called = getattr(made, "name", None)
    # It names a folder and a column, and stands before "=" in --data.
    if not isinstance(called, str) or not called.replace("_", "").isalnum():
        raise InputError(f"The benchmark {name} has the name {called!r}: letters, digits and _ are expected.")
    if not getattr(made, "columns", ()):
        raise InputError(f"The benchmark {name} has no columns: give it at least one Column.")
    return made
