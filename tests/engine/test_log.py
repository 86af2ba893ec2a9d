"""An append-only file: what was appended is on the disk when `commit` has returned, or every waiter gets the error."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from tpo.engine.log import Log
from tpo.errors import JournalError


async def test_many_who_wait_share_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = 0
    real = os.fsync

    def counted(file: int) -> None:
        nonlocal syncs
        syncs += 1
        real(file)

    monkeypatch.setattr(os, "fsync", counted)
    log = Log(tmp_path / "lines")

    async def write(number: int) -> None:
        log.append(f"{number}".encode())
        await log.commit()
        assert f"{number}\n" in log.path.read_text()

    await asyncio.gather(*map(write, range(50)))
    assert syncs <= 2
    await log.commit()
    assert syncs <= 2  # nothing was appended since
    log.close()


async def test_one_who_leaves_takes_the_sync_from_nobody(tmp_path: Path) -> None:
    log = Log(tmp_path / "lines")
    log.append(b"a")
    first, second = (asyncio.ensure_future(log.commit()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert first.cancelled()
    log.close()


async def test_a_disk_that_refuses_is_an_error_for_all_who_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    log = Log(tmp_path / "lines")
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", refuse)
        log.append(b"a")
        found = await asyncio.gather(log.commit(), log.commit(), return_exceptions=True)
    assert [type(error) for error in found] == [JournalError, JournalError]
    with pytest.raises(JournalError, match="Input/output error"):
        log.append(b"b")
    with pytest.raises(JournalError):
        log.close()
