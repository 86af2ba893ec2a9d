"""Clients for JavaScript, as they are: `tests/server/js/*.mjs` say what they should see."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from server.clients.kit import MODEL, Served
from server.clients.record import js_feature

# A line of the Test Anything Protocol.
RESULT = re.compile(r"^ *(not )?ok \d+ - (.+?)$", re.MULTILINE)


@pytest.mark.parametrize("client", ["openai", "anthropic", "vercel"])
def test_a_javascript_client(javascript: Path, served: Served, client: str, request: pytest.FixtureRequest) -> None:
    environment = {**os.environ, "TPO_TEST_URL": served.url, "TPO_TEST_MODEL": MODEL}
    ran = subprocess.run(
        ["node", "--test", "--test-reporter=tap", f"{client}.mjs"],
        cwd=javascript,
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
