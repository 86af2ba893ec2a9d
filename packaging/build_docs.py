"""The documentation as a site: `make docs`. Pages of docs/, a few files of the root, and a reference of the CLI.

Links that leave docs/ become links into the repository, so that the site stands by itself.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "site"
SOURCE = SITE / "source"
# Pages of the root, under the names that they have on the site.
EXTRA = {"../README.md": "start.md", "../CONTRIBUTING.md": "contributing.md", "../CHANGELOG.md": "changelog.md"}
OUTSIDE = re.compile(r"\]\((\.\./[^)#]*)(#[^)]*)?\)")
SECTIONS = {
    "Start": ["index", "start", "models", "embedded", "glossary", "faq", "comparison"],
    "Your model and reward": ["configuration", "rewards", "reward-servers", "hf", "judges", "verifiers"],
    "Datasets": ["data", "runs", "clusters"],
    "Evaluate": ["evaluation", "report"],
    "Serve": ["serve", "clients"],
    "Look": ["view", "traces"],
    "Extend": ["methods", "prompts", "contributing"],
    "Operate": ["deploy", "observability", "compatibility", "changelog"],
    "Reference": ["cli"],
}


def repository() -> str:
    """The address of the public repository."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["urls"]["Homepage"])


def write_page(name: str, text: str) -> None:
    """Write a page whose links lead to pages of the site or into the repository."""
    base = repository()

    def link(found: re.Match[str]) -> str:
        target, anchor = found[1], found[2] or ""
        place = EXTRA.get(target) or f"{base}/blob/main/{target.removeprefix('../')}"
        return f"]({place}{anchor})"

    (SOURCE / name).write_text(OUTSIDE.sub(link, text), encoding="utf-8")


def of_the_root(text: str) -> str:
    """A page of the root, with its links as if it stood in docs/."""
    text = re.sub(r"\]\((?!https?:|#|docs/)([^)]+)\)", r"](../\1)", text)
    return text.replace("](docs/", "](")


def cli_reference() -> str:
    """Every command's whole help."""
    from tpo.cli.commands import COMMANDS

    pages = ["# Commands\n"]
    for name, listed in COMMANDS.items():
        flag = "--help-all" if listed.first else "--help"
        command = [sys.executable, "-m", "tpo", name, flag]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        pages.append(f"## tpo {name}\n\n```text\n{shown.strip()}\n```\n")
    return "\n".join(pages)


def main() -> None:
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.copytree(ROOT / "docs", SOURCE)
    for page in SOURCE.glob("*.md"):
        write_page(page.name, page.read_text(encoding="utf-8"))
    for path, name in EXTRA.items():
        write_page(name, of_the_root((ROOT / "docs" / path).read_text(encoding="utf-8")))
    write_page("cli.md", cli_reference())
    listed = {name for names in SECTIONS.values() for name in names}
    if missing := {page.stem for page in SOURCE.glob("*.md")} ^ listed:
        raise SystemExit(f"pages and sections differ: {', '.join(sorted(missing))}")
    lines = ["site_name: tpo", "docs_dir: source", "site_dir: public", "theme: {font: false}", "nav:"]
    for section, names in SECTIONS.items():
        lines += [f"  - {section}:", *(f"      - {name}.md" for name in names)]
    (SITE / "mkdocs.yml").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
