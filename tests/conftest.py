"""What tests of several folders share."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import httpx._transports.default
import pytest
from hypothesis import settings

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("tpo", deadline=None)
settings.load_profile("tpo")

# Each client of httpx reads all certificates of the machine, which takes longer than most tests, also where it speaks
# plain HTTP.
_transports: Any = httpx._transports.default
_transports.create_ssl_context = cache(_transports.create_ssl_context)

if TYPE_CHECKING:
    from tpo.models.embedded import EmbeddedServer


@pytest.fixture(scope="session")
def embedded_server() -> Iterator[EmbeddedServer]:
    """The default model, loaded once for the whole session: two engines at once would slow each other down."""
    from tpo.errors import ModelError
    from tpo.models import embedded, weights

    try:
        path = weights.smollm2()
    except ModelError as error:
        pytest.skip(str(error))
    server = embedded.start(path)
    yield server
    server.close()
