"""`tpo key` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cli.test_show import call
from tpo.cli.key import key
from tpo.server.keyfile import make_key
from tpo.server.keys import Keys, hashed, read_keys
from tpo.server.limits import Limits


def test_a_key_is_printed_once_and_kept_as_a_hash(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    limits = ("--requests-per-minute", "60", "--tokens-per-minute", "90000", "--concurrency", "4")
    made = call(key, "alice", "--file", file, *limits)
    assert made.code == 0
    secret = made.out.strip()
    assert secret.startswith("tpo-")
    assert len(secret) >= 43
    assert made.out.count("\n") == 1
    assert secret not in made.err
    assert secret not in file.read_text()
    table = tomllib.loads(file.read_text())["alice"]
    expected = {"requests-per-minute": 60, "tokens-per-minute": 90000, "concurrency": 4}
    assert table == {"sha256": hashed(secret), **expected}
    assert file.stat().st_mode & 0o777 == 0o600
    assert Keys(file).client_of(secret) == "alice"
    other = call(key, "bob", "--file", file).out.strip()
    assert other != secret
    assert Keys(file).client_of(other) == "bob"
    assert Keys(file).client_of(secret) == "alice"


def test_an_operators_key_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    call(key, "alice", "--file", file)
    call(key, "olga", "--file", file, "--operator", "--concurrency", "2")
    tables = tomllib.loads(file.read_text())
    assert "operator" not in tables["alice"]
    assert tables["olga"]["operator"] is True
    keys = Keys(file)
    assert [keys.is_operator(name) for name in ("alice", "olga", "nobody")] == [False, True, False]
    assert call(key, "--list", "--file", file).out.splitlines() == ["alice: no limits", "olga: operator, 2 concurrency"]
    listed = json.loads(call(key, "--json", "--file", file).out)
    assert [(one["name"], one["operator"]) for one in listed] == [("alice", False), ("olga", True)]
    assert call(key, "olga", "--file", file, "--operator", "--revoke").code == 2


def test_what_somebody_wrote_by_hand_stays(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    by_hand = f'# The web shop.\n[shop]   # since May\nsha256 = "{hashed("x" * 20)}"\n'
    file.write_text(by_hand)
    file.chmod(0o640)
    call(key, "alice", "--file", file)
    assert file.read_text().startswith(by_hand)
    assert file.stat().st_mode & 0o777 == 0o640
    assert call(key, "alice", "--file", file, "--revoke").code == 0
    assert file.read_text().rstrip() == by_hand.rstrip()
    assert file.stat().st_mode & 0o777 == 0o640
    shown = call(key, "shop", "--file", file, "--revoke")
    assert shown.code == 0
    assert read_keys(file) == {}
    assert "The web shop." in file.read_text()


def test_a_link_stays_one(tmp_path: Path) -> None:
    file, link = tmp_path / "real.toml", tmp_path / "keys.toml"
    link.symlink_to(file)
    call(key, "alice", "--file", link)
    assert link.is_symlink()
    assert set(read_keys(file)) == {"alice"}


def test_revoked_is_out(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    alice, bob = (call(key, name, "--file", file).out.strip() for name in ("alice", "bob"))
    shown = call(key, "alice", "--file", file, "--revoke")
    assert (shown.code, shown.out) == (0, "")
    assert Keys(file).client_of(alice) is None
    assert Keys(file).client_of(bob) == "bob"
    again = call(key, "alice", "--file", file).out.strip()
    assert Keys(file).client_of(again) == "alice"
    assert Keys(file).client_of(alice) is None


def test_a_table_that_lines_do_not_show_is_left_to_its_author(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    written = f'alice = {{ sha256 = "{hashed("x" * 20)}" }}\n[bob]\nsha256 = "{hashed("y" * 20)}"\n'
    file.write_text(written)
    shown = call(key, "alice", "--file", file, "--revoke")
    assert shown.code == 2
    assert "by hand" in shown.err
    assert file.read_text() == written
    assert {path.name for path in tmp_path.iterdir()} <= {"keys.toml", ".keys.toml.lock"}


def test_who_has_keys(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    call(key, "bob", "--file", file)
    call(key, "alice", "--file", file, "--requests-per-minute", "6")
    shown = call(key, "--list", "--file", file)
    assert shown.out == "alice: 6 requests per minute\nbob: no limits\n"
    listed = json.loads(call(key, "--list", "--json", "--file", file).out)
    assert [one["name"] for one in listed] == ["alice", "bob"]
    assert listed[0]["requests-per-minute"] == 6
    assert "sha256" not in listed[0]
    file.write_text("")
    assert "no key" in call(key, "--list", "--file", file).err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a b"], "not a name"),
        (["[x]"], "not a name"),
        ([""], "not a name"),
        (["alice", "--concurrency", "0"], "at least 1"),
        (["known"], "already"),
        (["nobody", "--revoke"], "no key for nobody; it knows known"),
        (["known", "--revoke", "--concurrency", "3"], "no limits"),
        (["known", "--list"], "no name"),
        ([], "name is missing"),
    ],
)
def test_mistakes_are_one_line_and_change_nothing(tmp_path: Path, arguments: list[str], message: str) -> None:
    file = tmp_path / "keys.toml"
    call(key, "known", "--file", file)
    before = file.read_bytes()
    shown = call(key, *arguments, "--file", file)
    assert (shown.code, shown.out) == (2, "")
    assert message in " ".join(shown.err.split())
    assert file.read_bytes() == before


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("[alice\n")
    assert "not TOML" in call(key, "bob", "--file", broken).err
    assert broken.read_text() == "[alice\n"
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert "not TOML" in call(key, "bob", "--file", binary).err
    missing = call(key, "bob", "--file", tmp_path / "nowhere" / "keys.toml")
    assert (missing.code, missing.out) == (2, "")
    assert "cannot be written" in " ".join(missing.err.split())
    assert not (tmp_path / "nowhere").exists()
    assert "cannot be read" in " ".join(call(key, "--list", "--file", tmp_path / "none.toml").err.split())


def test_keys_made_at_once_are_all_there(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    names = [f"client-{number}" for number in range(24)]
    with ThreadPoolExecutor(8) as threads:
        made = dict(zip(names, threads.map(lambda name: make_key(file, name, Limits()), names), strict=True))
    keys = Keys(file)
    assert {name: keys.client_of(secret) for name, secret in made.items()} == {name: name for name in names}


def test_the_command_is_there(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tpo", "key", "alice", "--file", "keys.toml"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120)
    assert Keys(tmp_path / "keys.toml").client_of(made.stdout.strip()) == "alice"
