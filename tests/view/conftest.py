"""Runs that are made once for all tests of the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tpo.session.sync import run_sync
from tpo.view.app import create_app
from tpo.view.sources import Sources
from view.runs import make, make_judged


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs and a trace."""
    return run_sync(make(tmp_path_factory.mktemp("view")))


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a panel with a held-out judge."""
    return run_sync(make_judged(tmp_path_factory.mktemp("judged")))


@pytest.fixture
def client(runs: Path) -> Iterator[TestClient]:
    """A client of the page."""
    with TestClient(create_app(Sources([runs])), base_url="http://localhost") as made:
        yield made


def got(client: TestClient, path: str, **parameters: Any) -> Any:
    """What an endpoint says."""
    response = client.get(f"/api/{path}", params=parameters)
    assert response.status_code == 200, response.text
    return response.json()
