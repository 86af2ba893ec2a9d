"""Types and threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from tpo.decoding import prepared


def kind() -> Any:
    """A type that nothing has used yet."""
    inner = msgspec.defstruct("Inner", [(f"field{n}", str | list[int] | None, None) for n in range(20)])
    return msgspec.defstruct("Outer", [(f"field{n}", inner | str | None, None) for n in range(20)])


def test_threads_that_are_the_first_to_use_a_type() -> None:
    # msgspec alone ends the process here: so did clients that fetched stored responses as the first after a restart.
    together = threading.Barrier(4)

    def read(types: list[Any]) -> None:
        for one in types:
            together.wait()
            assert msgspec.convert({"field1": {"field2": "a"}}, prepared(one)).field1.field2 == "a"

    types = [kind() for _ in range(100)]
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(read, types) for _ in range(4)]:
            done.result()
