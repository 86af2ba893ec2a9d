"""One running server for all clients, and the record of what they can do."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from server.clients import kit
from server.clients.record import Recorder
from tpo.http import retry

# Where `make test-clients` has the record written.
RECORD = os.environ.get("TPO_TEST_RECORD")
_recorder = Recorder()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _recorder.add(item, report)
    return report


def pytest_sessionfinish() -> None:
    if RECORD:
        _recorder.write(Path(RECORD))


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
