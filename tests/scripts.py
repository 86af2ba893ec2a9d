"""Programs of the project that are no modules of the package, loaded from their files."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parent.parent


def script(place: str) -> ModuleType:
    """Load a program as a module, under a name that no module of the package has.

    Args:
        place: its path from the project's root, such as "benchmarks/steps.py".
    """
    spec = importlib.util.spec_from_file_location(f"script_{Path(place).stem}", ROOT / place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
