"""The documentation as a site: `make docs`. The pages of docs/, and a few files of the root.

Links that leave docs/ become links into the repository. Without an address of the repository in pyproject.toml they
become plain text.
"""

from __future__ import annotations

import os.path
import re
import shutil
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "site"
SOURCE = SITE / "source"
# Pages of the root, under the names that they have on the site.
EXTRA = {"README.md": "start.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|#)([^)#\s]+)(#[^)]*)?\)")
SECTIONS = {
    "Start": ["index", "start", "models", "embedded", "glossary", "faq", "comparison"],
    "Your model and reward": ["configuration", "rewards", "reward-servers", "hf", "judges", "verifiers"],
    "Methods": ["methods"],
    "Datasets": ["data", "runs", "clusters"],
    "Evaluate": ["evaluation", "report", "experiments", "results/index"],
    "Serve": ["serve", "clients"],
    "Look at results": ["view", "traces"],
    "Extend": ["prompts", "contributing"],
    "Operate": ["deploy", "observability", "compatibility", "changelog"],
    "Reference": ["reference/cli", "reference/configuration", "reference/python", "reference/http"],
}


def repository() -> str | None:
    """The address of the public repository; None where there is none yet."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    address = project["urls"].get("Repository")
    return str(address) if address else None


def write_page(source: Path, name: str) -> None:
    """Write a page whose links lead to pages of the site or into the repository.

    Args:
        source: the page in the repository.
        name: its path on the site.
    """
    base = repository()

    def link(found: re.Match[str]) -> str:
        text, target, anchor = found[1], found[2], found[3] or ""
        # Where the link leads in the repository, and where that is on the site.
        place = os.path.normpath(source.parent.relative_to(ROOT) / target)
        if place in EXTRA or place.startswith("docs/"):
            on_site = EXTRA.get(place) or place.removeprefix("docs/")
            return f"[{text}]({os.path.relpath(on_site, Path(name).parent)}{anchor})"
        return f"[{text}]({base}/blob/main/{place}{anchor})" if base else text

    page = SOURCE / name
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(LINK.sub(link, source.read_text(encoding="utf-8")), encoding="utf-8")


def main() -> None:
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.copytree(ROOT / "docs", SOURCE)
    for path in (ROOT / "docs").rglob("*.md"):
        write_page(path, str(path.relative_to(ROOT / "docs")))
    for path, name in EXTRA.items():
        write_page(ROOT / path, name)
    methods = sorted(f"methods/{page.stem}" for page in SOURCE.glob("methods/*.md"))
    sections = {name: [*pages] for name, pages in SECTIONS.items()}
    sections["Methods"] += methods
    sections["Evaluate"] += sorted(f"results/{page.parent.name}/{page.stem}" for page in SOURCE.glob("results/*/*.md"))
    listed = {name for names in sections.values() for name in names}
    if missing := {str(page.relative_to(SOURCE).with_suffix("")) for page in SOURCE.rglob("*.md")} ^ listed:
        raise SystemExit(f"pages and sections differ: {', '.join(sorted(missing))}")
    lines = ["site_name: tpo", "docs_dir: source", "site_dir: public", "theme: {font: false}", "nav:"]
    for section, names in sections.items():
        lines += [f"  - {section}:", *(f"      - {name}.md" for name in names)]
    (SITE / "mkdocs.yml").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
