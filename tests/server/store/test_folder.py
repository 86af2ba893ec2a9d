"""The folder of stored responses: whose it is, what leaves it, and what damage does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tpo.errors import InputError, JournalError
from tpo.server.protocols.responses.renderer import Begun, Completed
from tpo.server.store.folder import DAY, ResponseStore, StoredRequest
from tpo.session.response import TokenUsage


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def stored(key: str = "a" * 32, **more: Any) -> StoredRequest:
    """A request that is stored."""
    return StoredRequest(key=key, client=None, at=1, body={"model": "m", "input": [], **more})


END = Completed(TokenUsage(), None, 1)


def test_a_folder_belongs_to_one_server(store: Path) -> None:
    kept = ResponseStore(store, 1)
    with pytest.raises(InputError, match="Another server"):
        ResponseStore(store, 1)
    kept.close()
    ResponseStore(store, 1).close()


def test_what_is_old_goes_and_what_is_open_stays(store: Path) -> None:
    kept = ResponseStore(store, 1)
    kept.add(stored("a" * 32), [Begun(), END])
    kept.add(stored("b" * 32), [Begun()], open=True)
    for path in store.glob("resp_*"):
        os.utime(path, (1, 1))
    kept._swept = -2 * DAY
    kept.add(stored("c" * 32), [END])
    assert {path.name[5] for path in store.glob("resp_*")} == {"b", "c"}
    assert [request.key[0] for request in kept.unfinished()] == ["b"]
    kept.close()


def test_a_torn_entry_is_left_out_and_a_damaged_one_is_an_error(store: Path) -> None:
    kept = ResponseStore(store, 1)
    kept.add(stored(), [Begun(), END])
    path = kept.path(stored().id) / "entries.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert kept.entries(stored().id) == [Begun()]
    path.write_bytes(whole.replace(b'"at":1', b'"at":2'))
    with pytest.raises(JournalError, match="line 2"):
        kept.entries(stored().id)
    kept.close()


def test_only_its_user_can_read_the_folder(store: Path) -> None:
    kept = ResponseStore(store, 1)
    kept.add(stored(), [END])
    assert all(path.stat().st_mode & 0o077 == 0 for path in (store, kept.path(stored().id)))
    kept.close()
