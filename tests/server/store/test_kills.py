"""A few kills; `kills.py` has the command for many."""

from __future__ import annotations

from server.store.kills import check


async def test_killed_servers_lose_nothing_and_pay_nothing_twice() -> None:
    done = await check(2, 4)
    assert done["calls"] >= done["calls undisturbed"] > 4
