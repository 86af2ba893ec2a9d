"""How many parameters a model has, read off its name."""

from __future__ import annotations

import re

_UNITS = {"M": 1e6, "B": 1e9, "T": 1e12}
_IN_A_NAME = re.compile(r"(?<![\w.])(\d{1,4}(?:\.\d{1,3})?)([MBT])(?![A-Za-z0-9])", re.IGNORECASE)
_ACTIVE = re.compile(r"-A(\d{1,3}(?:\.\d{1,3})?)([MB])(?![A-Za-z0-9])")


def parameters_in(name: str) -> float | None:
    """How many parameters a token meets, where the name says so ("Llama-3.1-70B", "Qwen3-30B-A3B"); else None."""
    if active := _ACTIVE.search(name):  # of a mixture of experts, a token meets only these
        return count_of(active[1], active[2])
    counts = {count_of(*found) for found in _IN_A_NAME.findall(name)}
    return counts.pop() if len(counts) == 1 else None


def count_of(number: str, unit: str) -> float:
    """A count such as 70 B."""
    return float(number) * _UNITS.get(unit.upper(), 1.0)
