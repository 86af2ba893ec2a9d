"""The list of runs, run as it is by Node with the least of a browser around it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import tpo

NODE = shutil.which("node")
MODULE = Path(tpo.__file__).parent / "view" / "static" / "runs.js"
SCRIPT = """
globalThis.Node = class {
  constructor(tag) { Object.assign(this, { tagName: tag.toUpperCase(), props: {}, listeners: {}, children: [] }); }
  setAttribute(name, value) { this.props[name] = value; }
  addEventListener(name, listen) { this.listeners[name] = listen; }
  append(...nodes) { this.children.push(...nodes); }
  replaceChildren(...nodes) { this.children = nodes; }
  all() { return this.children.flatMap((one) => (one instanceof Node ? [one, ...one.all()] : [])); }
};
globalThis.document = { createElement: (tag) => new Node(tag) };
globalThis.sessionStorage = { getItem: () => null };
let runs = JSON.parse(process.argv[2]);
const answer = (path) => (path.endsWith("about") ? {} : { runs, traces: [] });
globalThis.fetch = async (path) => ({ ok: true, json: async () => answer(path) });
const { runsRoom } = await import(process.argv[1]);
const room = { onChange() {}, every() {}, change() {} };
const shown = async () => {
  const nodes = (await runsRoom({}, room)).all();
  const boxes = nodes.filter((one) => one.props.type === "checkbox");
  const button = nodes.find((one) => one.children[0] === "Compare two runs");
  const state = [boxes.map((one) => "checked" in one.props), "disabled" in button.props];
  return { state, tick: (at) => boxes[at].listeners.change({ target: { checked: true } }) };
};
const first = await shown();
first.tick(0);
first.tick(2);
const again = await shown();
runs = runs.slice(1);
const fewer = await shown();
console.log(JSON.stringify([first.state, again.state, fewer.state]));
"""

pytestmark = pytest.mark.skipif(NODE is None, reason="there is no Node")


def run(name: str) -> dict[str, Any]:
    """A run in the list."""
    rewards = {"first_reward": None, "answer_reward": None}
    return {"name": name, "state": "running", "method": "tpo", "done": 1, "total": 2, "failed": 0, **rewards}


def test_picked_runs_stay_picked_while_the_list_is_made_anew() -> None:
    runs = json.dumps([run("a"), run("b"), run("c")])
    command = [str(NODE), "--input-type=module", "-e", SCRIPT, MODULE.as_uri(), runs]
    first, again, fewer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert first == [[False, False, False], True]
    assert again == [[True, False, True], False]
    assert fewer == [[False, True], True]
