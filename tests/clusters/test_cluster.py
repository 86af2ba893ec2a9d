"""`tpo run --ray` on a real cluster of several nodes, which die now and then."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from clusters import kit
from tpo.errors import ModelError, RewardError
from tpo.runs.dataset import Watcher

pytest.importorskip("ray.data")
pytestmark = pytest.mark.ray

REWARD = """
import os, pathlib

def reward(conversations):
    with pathlib.Path("pids").open("a") as file:
        file.write(f"{os.getpid()}\\n")
    return [len(set(messages[-1]["content"])) + len(messages[-1]["content"]) / 1e4 for messages in conversations]

def broken(conversations):
    raise ValueError("no")
"""
HEAD = """
import asyncio, json, sys
from pathlib import Path
sys.path[:0] = json.loads(sys.argv[1])
from clusters import kit
asyncio.run(kit.run(sys.argv[2], Path(sys.argv[3]), json.loads(sys.argv[4]), sys.argv[5]))
"""


def search(server: str, **more: Any) -> dict[str, Any]:
    """The options of the searches here."""
    return {"policy": server, "width": 3, "depth": 1, "seed": 1, **more}


async def until_answered(out: Path, count: int, task: asyncio.Future[Any]) -> None:
    """Wait until so many queries have their answers."""
    path = out / "answers.jsonl"
    while not task.done() and (not path.exists() or path.read_bytes().count(b"\n") < count):  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    assert not task.done(), "it was over before anything could happen to it"


def expect_nothing_twice(out: Path, before: list[dict[str, Any]], asked: list[dict[str, Any]]) -> None:
    """Each result is in the journal once, and none that was in it before was asked for again."""
    assert set(kit.results(kit.journal(out)).values()) == {1}
    assert before, "nothing had been done by then"
    assert not kit.replies(before) & {kit.reply_to(body) for body in asked}


async def test_a_cluster_answers_what_one_process_answers(cluster: Any, server: str, tmp_path: Path) -> None:
    data = kit.dataset(tmp_path)
    await kit.run(data, tmp_path / "plain", search(server), None)
    plain = len(kit.asked(server))
    report = await kit.run(data, tmp_path / "ray", search(server), cluster.address)
    assert (report.summary.done, report.summary.failed, report.summary.left) == (kit.QUESTIONS, 0, 0)
    assert kit.answers(tmp_path / "ray") == kit.answers(tmp_path / "plain")
    assert kit.results(kit.journal(tmp_path / "ray")) == kit.results(kit.journal(tmp_path / "plain"))
    assert len(kit.asked(server)) == 2 * plain
    again = await kit.run(data, tmp_path / "ray", search(server), cluster.address)
    assert again.idle and len(kit.asked(server)) == 2 * plain


async def test_a_users_method_goes_along_with_its_template_and_setting(
    cluster: Any, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "code"
    shutil.copytree(Path(__file__).parents[2] / "examples", code)
    monkeypatch.chdir(code)
    options = search(server, method="python:merge:merge", settings={"best": 3})
    data = kit.dataset(tmp_path)
    await kit.run(data, tmp_path / "plain", options, None)
    report = await kit.run(data, tmp_path / "ray", options, cluster.address)
    assert (report.summary.done, report.summary.failed) == (kit.QUESTIONS, 0)
    assert kit.answers(tmp_path / "ray") == kit.answers(tmp_path / "plain")
    prompts = {line["record"].get("name") for line in kit.journal(tmp_path / "ray")}
    assert {"answer", "merge"} <= prompts


async def test_what_was_begun_on_a_cluster_goes_on_without_one(cluster: Any, server: str, tmp_path: Path) -> None:
    class Stopping(Watcher):
        def began(self, runner: Any, fleets: Any, tally: Any) -> None:
            self.runner = runner

    data, out, watcher = kit.dataset(tmp_path), tmp_path / "run", Stopping()
    running = asyncio.ensure_future(kit.run(data, out, search(server), cluster.address, watcher, concurrency=12))
    await until_answered(out, 4, running)
    watcher.runner.stop()
    report = await running
    assert report.stopped and report.summary.left
    before, asked = kit.journal(out), len(kit.asked(server))
    assert len(kit.answers(out)) == report.summary.done
    report = await kit.run(data, out, search(server), None)
    assert (report.summary.done, report.summary.left) == (kit.QUESTIONS, 0)
    expect_nothing_twice(out, before, kit.asked(server)[asked:])


@pytest.mark.parametrize("how", ["raylet", "node"])
async def test_a_node_that_dies_loses_nothing(cluster: Any, server: str, tmp_path: Path, how: str) -> None:
    data, out, count = kit.dataset(tmp_path, 60), tmp_path / "run", 60
    node = cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    cluster.wait_for_nodes()
    # Little at a time, so that all three nodes are in the middle of something.
    running = asyncio.ensure_future(kit.run(data, out, search(server), cluster.address, concurrency=24))
    await until_answered(out, 12, running)
    before = kit.journal(out)
    if how == "raylet":
        os.kill(node.all_processes["raylet"][0].process.pid, signal.SIGKILL)
        await asyncio.sleep(0)
    else:
        await asyncio.to_thread(cluster.remove_node, node, allow_graceful=False)
    asked = len(kit.asked(server))
    report = await running
    if how == "raylet":
        await asyncio.to_thread(cluster.remove_node, node, allow_graceful=False)
    assert (report.summary.done, report.summary.failed, report.summary.left) == (count, 0, 0)
    assert len({answer["id"] for answer in kit.answers(out)}) == len(kit.answers(out)) == count
    expect_nothing_twice(out, before, kit.asked(server)[asked:])
    resumed = {line["key"] for line in kit.journal(out) if line["record"]["record"] == "resumed"}
    assert resumed, "the node had nothing to do when it died"


async def test_a_head_that_is_killed_goes_on(cluster: Any, server: str, tmp_path: Path) -> None:
    data, out = kit.dataset(tmp_path), tmp_path / "run"
    paths = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "benchmarks")]
    given = (json.dumps(paths), data, str(out), json.dumps(search(server)), cluster.address)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", HEAD, *given)
    await until_answered(out, 3, asyncio.ensure_future(process.wait()))
    process.kill()
    await process.wait()
    before, asked = kit.journal(out), len(kit.asked(server))
    report = await kit.run(data, out, search(server), cluster.address)
    assert (report.summary.done, report.summary.left) == (kit.QUESTIONS, 0)
    expect_nothing_twice(out, before, kit.asked(server)[asked:])
    await kit.run(data, tmp_path / "plain", search(server), None)
    texts = [[answer["answer"] for answer in kit.answers(tmp_path / name)] for name in ("run", "plain")]
    assert texts[0] == texts[1]


async def test_one_actor_holds_the_reward(
    cluster: Any, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "marks.py").write_text(REWARD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "marks", raising=False)
    data = kit.dataset(tmp_path)
    options = search(server, reward="python:marks:reward", require=["max-words=500"])
    await kit.run(data, tmp_path / "ray", options, cluster.address)
    assert len(set((tmp_path / "pids").read_text().split())) == 1
    await kit.run(data, tmp_path / "plain", options, None)
    assert kit.answers(tmp_path / "ray") == kit.answers(tmp_path / "plain")


async def test_a_reward_that_cannot_be_opened_is_reported(
    cluster: Any, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unready.py").write_text("import nothing_of_this_name\n\ndef reward(conversations): ...\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RewardError, match="nothing_of_this_name"):
        await kit.run(
            kit.dataset(tmp_path), tmp_path / "run", search(server, reward="python:unready:reward"), cluster.address
        )


async def test_what_a_worker_cannot_do_ends_the_run_with_its_reason(
    cluster: Any, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    running = asyncio.ensure_future(
        kit.run(kit.dataset(tmp_path), out, search("http://127.0.0.1:9/v1"), cluster.address)
    )
    with pytest.raises(ModelError, match=r"127\.0\.0\.1:9"):
        await running
