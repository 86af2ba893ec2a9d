"""Comparing mathematics with math-verify; runs in a `Worker`, since it may take for ever.

math-verify's own time limits are switched off: they rest on SIGALRM, which cannot interrupt the arithmetic that
takes longest (https://github.com/huggingface/Math-Verify).
"""

from __future__ import annotations

import logging
from typing import Any

from math_verify import parse, verify

logging.disable(logging.CRITICAL)  # it logs every text that it cannot read


def compare(request: dict[str, Any]) -> dict[str, Any]:
    """Hold an answer against what is right.

    Args:
        request: "answer" is text; "accepted" the right answers.

    Returns:
        "right"; "found", what was read as the final answer, or None.
    """
    found = _read(request["answer"])
    if not found:
        return {"right": False, "found": None}
    accepted = [text if "\\boxed" in text or "$" in text else f"\\boxed{{{text}}}" for text in request["accepted"]]
    return {"right": any(_equal(_read(text), found) for text in accepted), "found": str(found[-1])}


def _read(text: str) -> list[Any]:
    try:
        return list(parse(text, parsing_timeout=None))
    except MemoryError:
        raise
    except Exception:  # its parsers raise many kinds on text that is no mathematics
        return []


def _equal(wanted: list[Any], found: list[Any]) -> bool:
    try:
        return bool(verify(wanted, found, timeout_seconds=None))
    except MemoryError:
        raise
    except Exception:
        return False
