"""Constrained decoding: how a request says that the reply has to be one of a few texts."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

# As vLLM has it (`structured_outputs`), SGLang (`regex`) and llama.cpp (a grammar in GBNF); empty for no such field.
Constraint: TypeAlias = Literal["", "structured_outputs", "regex", "grammar"]


def only_one_of(texts: Sequence[str], constraint: Constraint) -> dict[str, Any]:
    """The fields of a request that restrict its reply; none where the server has no such field.

    Args:
        texts: the replies that are allowed; empty for any.
        constraint: the server's way.
    """
    if not texts or not constraint:
        return {}
    if constraint == "structured_outputs":
        return {constraint: {"choice": list(texts)}}
    if constraint == "regex":
        return {constraint: f"({'|'.join(map(re.escape, texts))})"}
    return {constraint: f"root ::= {' | '.join(json.dumps(text, ensure_ascii=False) for text in texts)}"}
