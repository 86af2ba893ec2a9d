"""Clients for JavaScript, as they are: `tests/server/js/*.mjs` say what they should see."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from server.clients.kit import MODEL, Served
from server.clients.record import js_feature

# A line of the Test Anything Protocol.
RESULT = re.compile(r"^ *(not )?ok \d+ - (.+?)$", re.MULTILINE)
HERE = Path(__file__).parents[1] / "js"


@pytest.fixture(scope="module")
def packages() -> Path:
    """The folder with the clients installed; npm fetches them the first time."""
    for command in ("node", "npm"):
        if shutil.which(command) is None:
            pytest.skip(f"{command} is not installed")
    named = json.loads((HERE / "package.json").read_text())["dependencies"]
    if not all((HERE / "node_modules" / name).is_dir() for name in named):
        install = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
        ran = subprocess.run(install, cwd=HERE, capture_output=True, text=True, timeout=120, check=False)
        if ran.returncode != 0:
            pytest.skip(f"npm could not install the clients: {ran.stderr.strip()[-200:]}")
    return HERE


@pytest.mark.parametrize("client", ["openai", "anthropic", "vercel"])
def test_a_javascript_client(packages: Path, served: Served, client: str, request: pytest.FixtureRequest) -> None:
    environment = {**os.environ, "TPO_TEST_URL": served.url, "TPO_TEST_MODEL": MODEL}
    ran = subprocess.run(
        ["node", "--test", "--test-reporter=tap", f"{client}.mjs"],
        cwd=packages,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    for failed, name in RESULT.findall(ran.stdout):
        if (shown := js_feature(client, name)) is not None:
            request.node.user_properties.append(("feature", (*shown, f"{client}.mjs::{name}", not failed)))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "# fail 0" in ran.stdout and "# pass 0" not in ran.stdout, ran.stdout
