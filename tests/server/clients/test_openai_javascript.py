"""OpenAI's client for JavaScript, as it is: `tests/server/js/client.mjs` says what it should see."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from server.clients.kit import MODEL, Served

HERE = Path(__file__).parents[1] / "js"


@pytest.fixture(scope="module")
def packages() -> Path:
    """The folder with the client installed; npm fetches it the first time."""
    for command in ("node", "npm"):
        if shutil.which(command) is None:
            pytest.skip(f"{command} is not installed")
    if not (HERE / "node_modules" / "openai").is_dir():
        install = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
        ran = subprocess.run(install, cwd=HERE, capture_output=True, text=True, timeout=120, check=False)
        if ran.returncode != 0:
            pytest.skip(f"npm could not install the client: {ran.stderr.strip()[-200:]}")
    return HERE


def test_the_javascript_client(packages: Path, served: Served) -> None:
    environment = {**os.environ, "TPO_TEST_URL": served.url, "TPO_TEST_MODEL": MODEL}
    ran = subprocess.run(
        ["node", "--test", "client.mjs"],
        cwd=packages,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "# pass 8" in ran.stdout, ran.stdout
