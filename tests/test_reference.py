"""The reference pages are what the code says today."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import script
from tpo.cli.commands import COMMANDS
from tpo.methods import methods
from tpo.options import configurable

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"


REFERENCES = script("packaging/reference.py")
MADE: dict[Path, str] = REFERENCES.pages()


@pytest.mark.parametrize("path", MADE, ids=lambda path: str(path.relative_to(ROOT / "docs")))
def test_the_page_is_current(path: Path) -> None:
    assert path.exists(), "`make reference` writes it"
    assert path.read_text(encoding="utf-8") == MADE[path], "`make reference` makes it anew"


def test_everything_is_there() -> None:
    cli = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    assert all(f"\n## tpo {name}\n" in cli for name in COMMANDS)
    keys = (REFERENCE / "configuration.md").read_text(encoding="utf-8")
    assert all(f"| `{entries[0].shown}` |" in keys for entries in configurable().values())


def test_every_method_has_a_page_with_prose_and_a_row() -> None:
    table = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    for name in methods():
        page = (ROOT / "docs" / "methods" / f"{name}.md").read_text(encoding="utf-8")
        prose = page.partition("<!-- end -->")[2].strip()
        assert len(prose) > 20, f"docs/methods/{name}.md says nothing by hand"
        assert f"| [`{name}`](methods/{name}.md) |" in table
    assert {page.stem for page in (ROOT / "docs" / "methods").glob("*.md")} == set(methods())


def test_docstrings_become_lists() -> None:
    def function(width: int, *, depth: int = 2) -> None:
        """Do it.

        Args:
            width: N,
                at least 1.
            depth: D.

        Raises:
            ValueError: it cannot.
        """

    text = "\n".join(REFERENCES._docstring(function))
    assert "**Args**\n\n- `width`: N, at least 1.\n- `depth`: D." in text
    assert "**Raises**\n\n- `ValueError`: it cannot." in text
    assert list(REFERENCES._signature(function, "f")) == [
        "```text",
        "f(width: int, *, depth: int = 2) -> None",
        "```",
    ]
