"""One story as one file: the page's own modules and style, and the data, with nothing to fetch.

The modules are put one after another, each after those it imports, without their `import` and `export`: they share one
scope then, so no two may give the same name to different things (a test checks that). A library of other people's is
put into a function, which returns what it exports. The one for formulas, which is large, is there where a text has one.
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
MATHS = "maths_library.js"
STYLE = "style.css"
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w/.-]+)";\n', re.MULTILINE)
_LIBRARY = re.compile(r'^import \* as (\w+) from "\./(vendor/[\w/.-]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(async )?function|const|class)", re.MULTILINE)
_EXPORTED = re.compile(r"export ?\{([^{}]*)\};?\s*$")
# How a formula may begin, in JSON.
_TEX = re.compile(r"\$|\\\\(?:[\[(]|begin\{)")
# What could end a script element, or begin a comment in it, as strings and regular expressions may write it.
_MARKUP = re.compile(r"<(?=!--|/?script)", re.IGNORECASE)
# What could end a script element, or begin another thing in it. JSON may write any character as an escape.
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def exported(story: dict[str, Any]) -> bytes:
    """Make the file.

    Args:
        story: as `tpo.view.story.story_json` has it.

    Returns:
        a page of HTML that stands alone; its own policy lets nothing but its own script and style in.
    """
    encoded = msgspec.json.encode(story).decode()
    data = encoded.translate(_ESCAPES)
    seen: set[str] = set()
    entries = (MATHS, ENTRY) if _TEX.search(encoded) else (ENTRY,)
    script = "".join(module for entry in entries for module in _modules(entry, seen))
    style = (STATIC / STYLE).read_text(encoding="utf-8")
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
    for name_there, library in _LIBRARY.findall(source):
        yield f"const {name_there} = {_enclosed(library)};\n"
    yield _EXPORT.sub("", _LIBRARY.sub("", _IMPORT.sub("", source)))


def _enclosed(library: str) -> str:
    """A library as a function that is called once, and returns what it exports."""
    source = _MARKUP.sub(r"\\x3C", (STATIC / library).read_text(encoding="utf-8"))
    exported = _EXPORTED.search(source)
    assert exported is not None, f"{library} does not end with what it exports"
    pairs = [pair.split(" as ") for pair in exported[1].split(",")]
    names = ", ".join(f"{pair[-1].strip()}: {pair[0].strip()}" for pair in pairs)
    return f"(() => {{\n{source[: exported.start()]}\nreturn {{ {names} }};\n}})()"


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
