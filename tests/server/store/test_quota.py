"""How much the responses of one key may take."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from server.store.test_background import request
from tpo.server.protocols.responses.renderer import Begun, Completed
from tpo.server.store.folder import BLOCK, ResponseStore
from tpo.server.store.quota import Quota
from tpo.session.response import TokenUsage

END = Completed(TokenUsage(), None, 1)
# What a response takes: its folder and two files.
ONE = 3 * BLOCK


def kept(store: ResponseStore) -> list[int]:
    return sorted(int(path.name.removeprefix("resp_"), 16) for path in store._folder.glob("resp_*"))


def test_the_oldest_responses_of_a_key_go_first_and_those_under_way_stay(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path, 1, 3 * ONE)
    store.add(request(0, "greedy"), [Begun()], open=True)
    store.add(request(1, "modest"), [END])
    for number in range(2, 7):
        store.add(request(number, "greedy"), [END])
    assert kept(store) == [0, 1, 5, 6]
    store.complete(request(0).id)
    store.add(request(7, "greedy"), [END])
    assert kept(store) == [1, 5, 6, 7]
    store.delete(request(6).id)
    store.add(request(8, "greedy"), [END])
    assert kept(store) == [1, 5, 7, 8]
    store.close()


def test_what_an_earlier_process_stored_counts(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path, 1)
    for number in range(6):
        store.add(request(number, "al" if number % 2 else None), [END])
    store.close()
    store = ResponseStore(tmp_path, 1, 2 * ONE)
    store.add(request(6), [END])  # meanwhile
    store.survey()
    assert kept(store) == [3, 4, 5, 6]
    store.add(request(7, "al"), [END])
    assert kept(store) == [4, 5, 6, 7]
    store.close()


def test_a_response_grows_until_it_is_complete(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path, 1, 4 * ONE)
    for number in range(2):
        store.add(request(number), [END])
    store.add(request(2), [Begun()], open=True)
    store.trace(request(2).id).write_bytes(b" " * 2 * ONE)
    store.complete(request(2).id)
    assert kept(store) == [1, 2]
    store.close()


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9), st.integers(1, 9))), st.integers(1, 30))
def test_counts_are_those_of_what_is_there(story: list[tuple[str, int, int]], most: int) -> None:
    quota, there = Quota(most, lambda id: False), dict[str, tuple[str, int]]()
    for client, number, size in story:
        id = f"{client}{number}"
        there[id] = (client, size)
        for gone in quota.put(client, id, size):
            assert gone != id and there.pop(gone)[0] == client
            quota.forget(gone)
        others = sum(taken for other, (owner, taken) in there.items() if owner == client and other != id)
        assert others == 0 or others + size <= most
    assert all((id in quota) == (id in there) for id in {f"{client}{number}" for client, number, _ in story})
