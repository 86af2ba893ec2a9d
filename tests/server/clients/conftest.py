"""One running server for all clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from server.clients import kit
from tpo.http import retry


@pytest.fixture(scope="session")
def served() -> Iterator[kit.Served]:
    """The app in front of a policy that does what is asked of it."""
    with kit.served() as running:
        yield running


@pytest.fixture(scope="module")
def deserted() -> Iterator[kit.Served]:
    """The same, but the policy has died since; calls are tried again at once."""
    with pytest.MonkeyPatch.context() as patch, kit.served(deserted=True) as running:
        patch.setattr(retry, "_wait", lambda state: 0.0)
        yield running
