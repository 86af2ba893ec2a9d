"""One story as one file: the page's own modules and style, and the data, with nothing to fetch.

The modules are put one after another, each after those it imports, without their `import` and `export`: they share one
scope then, so no two may give the same name to different things (a test sees to it).
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

STATIC = Path(__file__).parent / "static"
ENTRY = "exported.js"
STYLE = "style.css"
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w/.-]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(async )?function|const|class)", re.MULTILINE)
# What could end a script element, or begin another thing in it. JSON may write any character as an escape.
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def exported(story: dict[str, Any]) -> bytes:
    """Make the file.

    Args:
        story: as `tpo.view.telling.told` has it.

    Returns:
        a page of HTML that stands alone; its own policy lets nothing but its own script and style in.
    """
    script = "".join(_modules(ENTRY, set()))
    style = (STATIC / STYLE).read_text(encoding="utf-8")
    data = msgspec.json.encode(story).decode().translate(_ESCAPES)
    policy = f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; base-uri 'none'"
    title = html.escape(" ".join(str(story["question"]).split())[:80] or str(story["name"]))
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main id="main" class="page"></main>
<script type="application/json" id="story">{data}</script>
<script type="module">{script}</script>
</body>
</html>
"""
    return page.encode()


def _modules(name: str, seen: set[str]) -> Iterator[str]:
    """A module after all that it needs, each once."""
    if name in seen:
        return
    seen.add(name)
    source = (STATIC / name).read_text(encoding="utf-8")
    for needed in _IMPORT.findall(source):
        yield from _modules(needed, seen)
    yield _EXPORT.sub("", _IMPORT.sub("", source))


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
