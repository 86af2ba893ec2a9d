"""The benchmarks by name, in the order of the paper's table; those beyond the paper come last."""

from __future__ import annotations

from difflib import get_close_matches

from tpo.errors import InputError
from tpo.evals.benchmarks.alpaca_eval import AlpacaEval
from tpo.evals.benchmarks.arena_hard import ArenaHard
from tpo.evals.benchmarks.beavertails import BeaverTails
from tpo.evals.benchmarks.gsm8k import GSM8K
from tpo.evals.benchmarks.hh_rlhf import HhRlhf
from tpo.evals.benchmarks.ifeval import IFEval
from tpo.evals.benchmarks.math500 import Math500
from tpo.evals.benchmarks.mt_bench import MTBench
from tpo.evals.benchmarks.protocol import Benchmark
from tpo.evals.benchmarks.xstest import XSTest

BENCHMARKS: dict[str, type[Benchmark]] = {
    made.name: made for made in (AlpacaEval, ArenaHard, HhRlhf, BeaverTails, XSTest, Math500, IFEval, MTBench, GSM8K)
}


def find_benchmark(name: str) -> Benchmark:
    """The benchmark of that name.

    Raises:
        InputError: there is none; the message lists those there are.
    """
    made = BENCHMARKS.get(name.replace("-", "_"))
    if made is None:
        near = get_close_matches(name, BENCHMARKS, n=1)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(f"There is no benchmark {name!r}: choose of {', '.join(BENCHMARKS)}.{guess}")
    return made()
