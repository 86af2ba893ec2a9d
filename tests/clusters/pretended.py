"""The benchmarks' server with a pretended GPU.

Their folder is on the path only while it is imported: it has a `rewards.py`, which would hide the tests' own folder of
that name.
"""

from __future__ import annotations

import sys
from pathlib import Path

_FOLDER = str(Path(__file__).parents[2] / "benchmarks")
sys.path.insert(0, _FOLDER)
try:
    import gpu_engine
    import gpu_server
finally:
    sys.path.remove(_FOLDER)

__all__ = ["gpu_engine", "gpu_server"]
