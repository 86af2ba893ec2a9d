from __future__ import annotations

import pytest

from tpo.http import retry


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once; what would have been waited is still told to listeners."""
    monkeypatch.setattr(retry, "_backoff", lambda state: 0.0)
