"""One running server for all clients, and the record of what they can do."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from server.clients import kit
from server.clients.record import Recorder
from tpo.http import retry

# Where `make test-clients` has the record written.
RECORD = os.environ.get("TPO_TEST_RECORD")
_recorder = Recorder()
JAVASCRIPT = Path(__file__).parents[1] / "js"


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


@pytest.fixture(scope="session")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the clients for JavaScript. `make test` installs them; without it, npm fetches them here."""
    for command in ("node", "npm"):
        if shutil.which(command) is None:
            pytest.skip(f"{command} is not installed")
    # Workers share the folder: one of them installs, and none looks into a half of it. npm writes its list last.
    with FileLock(tmp_path_factory.getbasetemp().parent / "npm.lock"):
        if not (JAVASCRIPT / "node_modules" / ".package-lock.json").exists():
            install = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
            ran = subprocess.run(install, cwd=JAVASCRIPT, capture_output=True, text=True, timeout=120, check=False)
            if ran.returncode != 0:
                pytest.skip(f"npm could not install the clients: {ran.stderr.strip()[-200:]}")
    return JAVASCRIPT


@pytest.fixture(scope="module")
def deserted() -> Iterator[kit.Served]:
    """The same, but the policy has died since; calls are tried again at once."""
    with pytest.MonkeyPatch.context() as patch, kit.served(deserted=True) as running:
        patch.setattr(retry, "_wait", lambda state: 0.0)
        yield running
