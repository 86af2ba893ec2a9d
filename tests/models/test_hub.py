"""`hub:ORG/REPO[:FILE]` and `tpo models`, against a hub on the loopback."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from models.hub import COMMIT, FakeHub, serving
from tpo.cli.app import app
from tpo.errors import InputError, ModelError
from tpo.models import embedded, hub, hub_download, resolve, weights

CONTENT = b"GGUF" + bytes(range(256)) * 4000
SPEC = "hub:org/model-GGUF"
OTHER = "model-Q8_0.gguf"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub with one file, an empty cache, no token, and no waiting."""
    monkeypatch.setenv(weights.CACHE, str(tmp_path / "cache"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(hub_download, "_WAITS", (0.0,) * 4)
    with serving(FakeHub({"model-Q4_K_M.gguf": CONTENT})) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        yield served


def test_the_only_file_is_fetched_and_later_starts_ask_nobody(fake: FakeHub) -> None:
    lines: list[str] = []
    path = hub.fetch(SPEC, lines.append)
    assert path.name == "model-Q4_K_M.gguf"
    assert path.read_bytes() == CONTENT
    assert lines[0].startswith("fetching model-Q4_K_M.gguf from hub:org/model-GGUF (1.02 MB, once, licence apache-2.0)")
    assert COMMIT in fake.asked[-1][0]
    fake.asked.clear()
    assert hub.fetch(SPEC) == hub.fetch(f"{SPEC}:q4_k_m") == hub.fetch(f"{SPEC}:model-Q4_K_M.gguf") == path
    assert fake.asked == []


def test_without_a_network_a_second_start_works_and_a_first_one_explains(
    fake: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = hub.fetch(SPEC)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert hub.fetch(SPEC) == path
    shutil.rmtree(hub.folder())
    with pytest.raises(ModelError, match=r"not in the cache, and the Hub at http://127.0.0.1:9 cannot be reached"):
        hub.fetch(SPEC)


def test_a_broken_connection_is_continued_where_it_ended(fake: FakeHub) -> None:
    fake.breaks = [300_000, 0, 400_000]
    assert hub.fetch(SPEC).read_bytes() == CONTENT
    assert fake.downloads() == [None, "bytes=300000-", "bytes=300000-", "bytes=700000-"]


def test_a_fetch_that_is_given_up_is_continued_by_the_next_command(fake: FakeHub) -> None:
    fake.breaks = [300_000, 0, 0, 0, 0, 0]
    with pytest.raises(ModelError, match=r"broke off at 0\.3 MB of 1\.02 MB.*the same command continues there"):
        hub.fetch(SPEC)
    assert [path.suffix for path in hub.folder().glob("*/*.part")] == [".part"]
    lines: list[str] = []
    assert hub.fetch(SPEC, lines.append).read_bytes() == CONTENT
    assert "continuing at 0.3 MB" in lines[0]
    assert fake.downloads()[-1] == "bytes=300000-"
    assert list(hub.folder().glob("*/*.part")) == []


def test_a_fetch_ends_when_it_is_stopped_and_keeps_what_came(fake: FakeHub) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(ModelError, match="interrupted; the part is kept"):
        hub.fetch(SPEC, stop=stop)
    assert hub.fetch(SPEC).read_bytes() == CONTENT


def test_a_server_without_ranges_begins_again_and_nothing_is_doubled(fake: FakeHub) -> None:
    fake.ranges, fake.breaks = False, [300_000, 500_000]
    assert hub.fetch(SPEC).read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(fake: FakeHub) -> None:
    fake.busy = 2
    assert hub.fetch(SPEC).read_bytes() == CONTENT


def test_a_file_with_another_checksum_is_refused_and_removed(fake: FakeHub) -> None:
    fake.described["model-Q4_K_M.gguf"] = "0" * 64
    with pytest.raises(ModelError, match=r"SHA-256 is [0-9a-f]{12}… and not 000000000000…"):
        hub.fetch(SPEC)
    assert [path.name for path in hub.folder().glob("*/*gguf*") if not path.name.endswith(".lock")] == []


@pytest.mark.parametrize("where", ["../../evil.gguf", "/etc/evil.gguf", "a\\..\\evil.gguf", "C:evil.gguf"])
def test_a_name_that_leaves_the_cache_is_no_file(fake: FakeHub, where: str) -> None:
    fake.files[where] = b"GGUF evil"
    assert [file.name for file in hub._described("org/model-GGUF").files] == ["model-Q4_K_M.gguf"]


def test_a_repository_that_changed_is_kept_at_its_commit_and_a_damaged_record_is_made_anew(fake: FakeHub) -> None:
    path = hub.fetch(SPEC)
    record = path.parent / hub.RECORD
    assert json.loads(record.read_bytes())["commit"] == COMMIT
    record.write_text("{")
    assert hub.fetch(SPEC) == path
    assert len(fake.downloads()) == 1


def test_several_files_are_listed_with_their_sizes(fake: FakeHub) -> None:
    fake.files |= {OTHER: CONTENT * 2, "mmproj-model-f16.gguf": b"GGUF eyes"}
    with pytest.raises(InputError) as caught:
        hub.fetch(SPEC)
    assert str(caught.value) == (
        "hub:org/model-GGUF has 2 such files: name one, hub:org/model-GGUF:model-Q4_K_M.gguf. "
        "model-Q4_K_M.gguf (1.02 MB), model-Q8_0.gguf (2.05 MB)"
    )
    with pytest.raises(InputError, match=r"has no file 'Q2_K'. It has model-Q4_K_M.gguf"):
        hub.fetch(f"{SPEC}:Q2_K")
    assert hub.fetch(f"{SPEC}:q8_0").name == OTHER
    assert fake.downloads() == [None]


def test_a_model_in_several_files_is_one_model(fake: FakeHub) -> None:
    parts = {f"big/model-0000{number}-of-00002.gguf": CONTENT[:number] * 9 for number in (2, 1)}
    fake.files = {**parts, "other.gguf": b"GGUF other"}
    assert hub.fetch(f"{SPEC}:big") == hub.folder() / "org--model-GGUF" / "big/model-00001-of-00002.gguf"
    kept = {str(path.relative_to(hub.folder() / "org--model-GGUF")) for path in hub.folder().rglob("*.gguf")}
    assert kept == parts.keys()


def test_a_gated_repository_is_explained(fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.refuses = (403, "GatedRepo")
    with pytest.raises(InputError) as caught:
        hub.fetch(SPEC)
    assert str(caught.value) == (
        f"hub:org/model-GGUF is gated: accept its terms at {fake.url}/org/model-GGUF, signed in, and set HF_TOKEN to "
        f"your token."
    )
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with pytest.raises(InputError, match="the account of your token was not let in yet") as caught:
        hub.fetch(SPEC)
    assert fake.tokens[-1] == "Bearer hf_secret"
    assert "hf_secret" not in f"{caught.value}{(hub.folder() / 'org--model-GGUF' / hub.RECORD).read_text()}"


@pytest.mark.parametrize(
    ("refusal", "says"),
    [
        ((401, "RepoNotFound"), "is not on the Hub: check the name, or it is private, which needs HF_TOKEN"),
        ((404, "RepoNotFound"), "is not on the Hub"),
        ((500, ""), r"the Hub at http://127.0.0.1:\d+ answered 500"),
    ],
)
def test_a_missing_repository_and_a_broken_hub_are_explained(
    fake: FakeHub, refusal: tuple[int, str], says: str
) -> None:
    fake.refuses, fake.refuses_list = refusal, True
    with pytest.raises((InputError, ModelError), match=says):
        hub.fetch(SPEC)


def test_a_file_that_left_the_repository_is_explained(fake: FakeHub) -> None:
    fake.refuses = (404, "EntryNotFound")
    with pytest.raises(InputError, match="has changed since it was listed: remove its folder"):
        hub.fetch(SPEC)


def test_offline_mode_is_explained(fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set"):
        hub.fetch(SPEC)


def test_a_repository_without_gguf_files_is_explained(fake: FakeHub) -> None:
    fake.files = {}
    with pytest.raises(InputError, match="has no GGUF file: look for a repository"):
        hub.fetch(SPEC)


def test_a_full_disk_is_seen_before_the_fetch(fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=1000))
    with pytest.raises(ModelError, match=r"0\.001 MB free, and 1\.02 MB are to come"):
        hub.fetch(SPEC)
    assert fake.downloads() == []


@pytest.mark.parametrize(
    "spec", ["hub:", "hub:model", "hub:../x", "hub:a/b/c", "hub:a/..", "hub:https://huggingface.co/a/b"]
)
def test_what_names_no_repository_explains_how_to_write_it(spec: str) -> None:
    with pytest.raises(InputError, match=r"write hub:ORG/REPO or hub:ORG/REPO:FILE\.gguf"):
        hub.fetch(spec)


def test_without_huggingface_hub_the_extra_is_named(fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install 'tpo\[hub\]'"):
        hub.fetch(SPEC)


def test_the_hub_gets_the_requests_that_are_needed_and_no_telemetry() -> None:
    code = (
        "from tpo.models.hub_download import library; library()\n"
        "from huggingface_hub import constants; print(constants.HF_HUB_DISABLE_TELEMETRY)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_DISABLE_TELEMETRY"}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.strip()) == (0, "True")


async def test_a_policy_from_the_hub_runs_in_the_process(fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Path] = []

    def start(path: Path) -> Any:
        started.append(path)
        raise ModelError("no engine in this test")

    monkeypatch.setattr(embedded, "start", start)
    with pytest.raises(ModelError, match="no engine"):
        await resolve.open_model(SPEC, "policy")
    assert [path.name for path in started] == ["model-Q4_K_M.gguf"]


def test_tpo_models_fetches_and_lists(fake: FakeHub) -> None:
    before = CliRunner().invoke(app, ["models", "--json"])
    assert [row["path"] for row in json.loads(before.stdout)] == [None, None, None]
    ran = CliRunner().invoke(app, ["models", SPEC])
    assert (ran.exit_code, Path(ran.stdout.strip()).read_bytes()) == (0, CONTENT)
    assert "fetching model-Q4_K_M.gguf" in ran.stderr
    (row, *suggested) = json.loads(CliRunner().invoke(app, ["models", "--json"]).stdout)
    assert row["model"] == f"{SPEC}:model-Q4_K_M.gguf"
    assert (row["bytes"], row["licence"], row["fits"]) == (len(CONTENT), "apache-2.0", True)
    assert row["tokens_per_second"] > suggested[0]["tokens_per_second"] > suggested[2]["tokens_per_second"] > 0
    shown = CliRunner().invoke(app, ["models"]).stdout
    assert re.search(
        r"--policy hub:org/model-GGUF:\S+\n  1\.02 MB, apache-2\.0, about \d+ tokens/s, in the cache\n", shown
    )
    assert "fetched at the first use" in shown


def test_a_wrong_model_to_fetch_is_one_line(fake: FakeHub) -> None:
    ran = CliRunner().invoke(app, ["models", "smollm"])
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr == "tpo: error: 'smollm' is nothing to fetch: give embedded, or hub:ORG/REPO[:FILE].\n"
