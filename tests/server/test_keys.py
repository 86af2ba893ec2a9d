"""Who may ask: keys, their file, and what happens to it while the server runs."""

from __future__ import annotations

import base64
import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.raw import Echo, listening, request, statuses
from tpo.errors import InputError
from tpo.server.asgi import request_info
from tpo.server.keyfile import make_key, revoke_key
from tpo.server.keys import LOOKED_AT, Keyed, Keys, hashed, read_keys
from tpo.server.limits import Limits

CLOSE = b"Connection: close"
SECRET = "a key that somebody chose"


class Clock:
    """Time that a test lets pass."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def later(self, seconds: float = LOOKED_AT) -> None:
        self.now += seconds


def table(name: str, key: str, **limits: int) -> str:
    lines = [f"[{name}]", f'sha256 = "{hashed(key)}"']
    return "\n".join([*lines, *(f"{limit.replace('_', '-')} = {value}" for limit, value in limits.items()), ""])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys.toml"
    path.write_text(table("alice", SECRET) + table("bob", "another one of those keys", requests_per_minute=5))
    return path


def test_whose_key_it_is(file: Path) -> None:
    keys = Keys(file, single="from the environment")
    assert len(keys) == 3
    assert keys.client_of(SECRET) == "alice"
    assert keys.client_of("another one of those keys") == "bob"
    assert keys.client_of("from the environment") == "key"
    for wrong in ("", SECRET + "x", SECRET[:-1], SECRET.upper(), hashed(SECRET), "alice", " ", "\x00", "é", "\ud800"):
        assert keys.client_of(wrong) is None


@given(st.text())
def test_no_other_text_is_a_key(text: str) -> None:
    assert Keys(single=SECRET).client_of(text) == ("key" if text == SECRET else None)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(InputError, match="shorter than 16"):
        Keys(single="short")


def test_accounts(file: Path) -> None:
    keys = Keys(file)
    assert keys.account_of("alice") is None  # without limits
    assert keys.account_of(None) is None
    assert keys.account_of("nobody") is None
    bob = keys.account_of("bob")
    assert bob is not None
    assert bob.limits == Limits(5)
    bob.begin()
    assert keys.account_of("bob") is bob


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("[alice\n", "not TOML"),
        ("[alice]\nsha256 = 3\n", r"\[alice\].*str"),
        ("[alice]\n", r"\[alice\].*sha256"),
        ("alice = 3\n", r"\[alice\]"),
        ('[alice]\nsha256 = "abc"\n', "not a hash of a key"),
        (table("alice", SECRET).upper(), "ALICE"),
        (table("alice", SECRET, requests_per_minute=0), "at least 1"),
        (table("alice", SECRET, requests_per_minute=-5), "at least 1"),
        (table("alice", SECRET) + "requests = 5\n", "requests"),
        (table("alice", SECRET) + table("alice", SECRET), "not TOML"),
        ("\x00", "not TOML"),
    ],
)
def test_files_that_are_wrong_name_the_place(tmp_path: Path, written: str, said: str) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(written)
    with pytest.raises(InputError, match=said):
        Keys(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        Keys(tmp_path / "nowhere.toml")
    with pytest.raises(InputError, match="cannot be read"):
        Keys(tmp_path)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not TOML"):
        Keys(binary)


def test_a_change_is_seen_within_a_second(file: Path) -> None:
    clock = Clock()
    keys = Keys(file, clock=clock)
    made = make_key(file, "carol", Limits(concurrency=2))
    assert keys.client_of(made) is None  # not looked at for each request
    clock.later()
    assert keys.client_of(made) == "carol"
    revoke_key(file, "alice")
    clock.later()
    assert keys.client_of(SECRET) is None
    assert keys.client_of(made) == "carol"


def test_a_change_of_the_same_size_in_the_same_moment_is_seen(file: Path) -> None:
    clock = Clock()
    keys = Keys(file, clock=clock)
    before = file.stat()
    fresh = file.with_name("fresh")
    fresh.write_text(file.read_text().replace(hashed(SECRET), hashed(SECRET[::-1])))
    os.utime(fresh, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert fresh.stat().st_size == before.st_size
    fresh.replace(file)
    clock.later()
    assert keys.client_of(SECRET) is None
    assert keys.client_of(SECRET[::-1]) == "alice"


@pytest.mark.parametrize("broken", [b"[alice\n", b"\xff", b'[alice]\nsha256 = "x"\n', None], ids=str)
def test_a_file_that_breaks_keeps_what_was_before(
    file: Path, broken: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    keys = Keys(file, clock=clock)
    good = file.read_bytes()
    if broken is None:
        file.unlink()
    else:
        file.write_bytes(broken)
    with caplog.at_level(logging.INFO, "tpo.server"):
        for _ in range(5):
            clock.later()
            assert keys.client_of(SECRET) == "alice"
    complaints = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(complaints) == 1  # and not one for each request
    assert "kept" in complaints[0].getMessage()
    assert SECRET not in caplog.text
    file.write_bytes(good.replace(b"[alice]", b"[anna]"))
    clock.later()
    assert keys.client_of(SECRET) == "anna"


def test_limits_that_change_keep_what_was_used(file: Path) -> None:
    clock = Clock()
    keys = Keys(file, clock=clock)
    before = keys.account_of("bob")
    assert before is not None
    for _ in range(5):
        before.begin()
    assert before.refusal() is not None
    file.write_text(table("bob", "another one of those keys", requests_per_minute=50))
    clock.later()
    assert keys.client_of("another one of those keys") == "bob"
    after = keys.account_of("bob")
    assert after is before
    assert after.refusal() is None
    assert (b"x-ratelimit-remaining-requests", b"45") in after.headers()


def test_what_make_key_writes_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    made = {name: make_key(path, name, Limits(number, None, number)) for number, name in enumerate("abc", start=1)}
    clients = read_keys(path)
    assert {name: client.sha256 for name, client in clients.items()} == {n: hashed(k) for n, k in made.items()}
    assert clients["c"].limits == Limits(3, None, 3)


def basic(pair: bytes) -> bytes:
    return b"Authorization: Basic " + base64.b64encode(pair)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (b"Authorization: Bearer " + SECRET.encode(), 200),
        (b"authorization: bearer   " + SECRET.encode() + b"  ", 200),
        (basic(b"anybody:" + SECRET.encode()), 200),
        (b"Authorization: Bearer " + SECRET.encode() + b"x", 401),
        (b"Authorization: Bearer", 401),
        (b"Authorization: Bearer ", 401),
        (b"Authorization: " + SECRET.encode(), 401),
        (b"Authorization: Basic " + SECRET.encode(), 401),
        (basic(SECRET.encode()), 401),
        (basic(b"x:\xff\xfe"), 401),
        (b"Authorization: Basic %%%%", 401),
        (b"Authorization: Bearer \xff\xfe", 401),
        (b"Authorization: Bearer " + hashed(SECRET).encode(), 401),
        (b"X-Api-Key: " + SECRET.encode(), 200),
        (b"Cookie: Authorization=Bearer " + SECRET.encode(), 401),
        (b"X: y", 401),
    ],
)
async def test_keys_on_the_wire(file: Path, header: bytes, status: int) -> None:
    echo = Echo()
    async with listening(Keyed(echo, Keys(file))) as at:
        answer = await at.say(request("POST", "/v1/chat/completions", CLOSE, header, body=b"{}"))
    assert statuses(answer) == [status]
    assert len(echo.scopes) == (status == 200)
    assert SECRET.encode() not in answer
    if status == 200:
        assert request_info(echo.scopes[0]).client == "alice"
    else:
        assert b"www-authenticate: Bearer" in answer


@pytest.mark.parametrize(
    ("path", "free"),
    [("/health", True), ("/ready", True), ("/openapi.json", True), ("/static/x", True)]
    + [(path, False) for path in ("/health/", "//health", "/HEALTH", "/health%00", "/health/../v1/models", "/metrics")]
    + [(path, False) for path in ("/v1/models", "/staticx", "/static", "/", "/v1/health", "/health;x", "/ui/")],
)
async def test_what_anybody_may_ask_for(file: Path, path: str, free: bool) -> None:
    async with listening(Keyed(Echo(), Keys(file), ["/health", "/ready", "/openapi.json", "/static/"])) as at:
        assert statuses(await at.say(request("GET", path, CLOSE))) == [200 if free else 401]


async def test_percent_is_read_before_anybody_looks(file: Path) -> None:
    """So that what is looked at is what is routed."""
    echo = Echo()
    async with listening(Keyed(echo, Keys(file))) as at:
        assert statuses(await at.say(request("GET", "/%68ealth", CLOSE))) == [200]
    assert echo.scopes[0]["path"] == "/health"


async def test_of_two_keys_the_first_counts(file: Path) -> None:
    good, bad = b"Authorization: Bearer " + SECRET.encode(), b"Authorization: Bearer wrong"
    async with listening(Keyed(Echo(), Keys(file))) as at:
        assert statuses(await at.say(request("GET", "/v1/models", CLOSE, good, bad))) == [200]
        assert statuses(await at.say(request("GET", "/v1/models", CLOSE, bad, good))) == [401]


async def test_nothing_is_read_from_somebody_unknown(file: Path) -> None:
    echo = Echo()
    async with listening(Keyed(echo, Keys(file))) as at:
        reader, writer = await at.connect()
        writer.write(b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n")
        assert b" 401 " in await reader.readline()  # before any of the body
        writer.close()
    assert not echo.scopes
