"""Put the address of the public repository into pyproject.toml: its URLs, and the README's links on a package index.

python packaging/set_repository.py https://HOST/OWNER/tpo        (the release workflow does it before it builds)
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

PAGES = {
    "Homepage": "",
    "Documentation": "/blob/main/docs/index.md",
    "Changelog": "/blob/main/CHANGELOG.md",
    "Issues": "/issues",
    "Repository": "",
}
# Links into the repository: made into plain text, and made into whole addresses.
PLAIN = r"""{ pattern = '\[([^\]]+)\]\((?!https?:|#)[^)]+\)', replacement = '\1' }"""
LINKED = r"""{ pattern = '\]\((?!https?:|#)([^)]+)\)', replacement = '](ADDRESS/blob/main/\1)' }"""


def with_repository(pyproject: str, address: str) -> str:
    """A pyproject.toml with the address.

    Args:
        pyproject: the file's text.
        address: the repository's, without a slash at the end.
    """
    urls = "".join(f'{name} = "{address}{page}"\n' for name, page in PAGES.items())
    if PLAIN not in pyproject or "[project.urls]\n" not in pyproject:
        raise SystemExit("pyproject.toml has an address already, or another form than this program knows.")
    return pyproject.replace("[project.urls]\n", f"[project.urls]\n{urls}").replace(
        PLAIN, LINKED.replace("ADDRESS", address)
    )


def main() -> None:
    address = sys.argv[1].rstrip("/") if len(sys.argv) == 2 else ""
    if not re.fullmatch(r"https://[\w.-]+/[\w./-]+", address):
        raise SystemExit("Give the address of the repository: https://HOST/OWNER/tpo")
    path = Path(__file__).resolve().parents[1] / "pyproject.toml"
    path.write_text(with_repository(path.read_text(encoding="utf-8"), address), encoding="utf-8")


if __name__ == "__main__":
    main()
