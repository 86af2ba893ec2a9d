"""Install tpo in every documented way on every Python that is here, and print a table of what ran.

python packaging/try_installs.py [PYTHON …]      (uv and pipx are used where they are on the path)

Everything happens in a scratch folder: a clone without anything built, an empty home, a fresh environment for each row.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST = (3, 11)
LIMIT = 600


def pythons() -> list[str]:
    """Interpreters of this machine that tpo supports, one for each version."""
    folders = [*os.environ["PATH"].split(os.pathsep), *map(str, Path.home().glob(".pyenv/versions/*/bin"))]
    found = {}
    for folder in folders:
        for path in sorted(Path(folder).glob("python3*")):
            if path.name.removeprefix("python").replace(".", "").isdigit() and "shims" not in folder:
                version = _output([str(path), "-c", "import sys; print(*sys.version_info[:3])"])
                if version and tuple(map(int, version.split()))[:2] >= OLDEST:
                    found.setdefault(version, str(path))
    return [found[version] for version in sorted(found, key=lambda text: tuple(map(int, text.split())))]


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def ways(python: str, clone: Path, scratch: Path) -> Iterator[tuple[str, list[list[str]], Path]]:
    """Name, commands and the tpo that they install, of each way."""
    uv, pipx = shutil.which("uv"), shutil.which("pipx")
    place = scratch / "pip"
    pip = [str(place / "bin" / "python"), "-m", "pip"]
    made = [python, "-m", "venv", str(place)]
    yield "pip install .", [made, [*pip, "install", "--quiet", str(clone)]], place / "bin" / "tpo"
    wheels = [str(path) for path in sorted((clone / "dist").glob("tpo-*"))]
    for wheel in wheels:
        kind = "wheel" if wheel.endswith(".whl") else "sdist"
        place = scratch / kind
        pip = [str(place / "bin" / "python"), "-m", "pip"]
        made = [python, "-m", "venv", str(place)]
        yield f"pip install {kind}", [made, [*pip, "install", "--quiet", wheel]], place / "bin" / "tpo"
    if uv:
        place = scratch / "uv"
        made = [uv, "venv", "--quiet", "--python", python, str(place)]
        install = [uv, "pip", "install", "--quiet", "--python", str(place / "bin" / "python"), str(clone)]
        yield "uv pip install .", [made, install], place / "bin" / "tpo"
        tool = [uv, "tool", "install", "--quiet", "--python", python, str(clone)]
        yield "uv tool install .", [tool], scratch / "home" / ".local" / "bin" / "tpo"
    if pipx:
        install = [pipx, "install", "--quiet", "--python", python, str(clone)]
        yield (
            "pipx install .",
            [["rm", "-f", str(scratch / "home/.local/bin/tpo")], install],
            scratch / "home/.local/bin/tpo",
        )


def attempt(commands: list[list[str]], tpo: Path, home: Path) -> str:
    """Run the commands, then the installed tpo; "ok" with the seconds, or the last line of what failed."""
    environment = {
        **os.environ,
        "HOME": str(home),
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(home / ".cache")),
    }
    begun = time.monotonic()
    for command in [*commands, [str(tpo), "--version"], [str(tpo), "methods"]]:
        try:
            ran = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT, cwd=home
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"failed: {error}"
        if ran.returncode:
            lines = (ran.stderr or ran.stdout).strip().splitlines()
            return f"failed: {Path(command[0]).name}: {lines[-1][:80] if lines else ran.returncode}"
    return f"ok ({time.monotonic() - begun:.0f} s)"


def main() -> int:
    rows: dict[str, dict[str, str]] = {}
    versions = []
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        built = subprocess.run([sys.executable, "-m", "build", str(clone)], capture_output=True, text=True, check=False)
        files = [str(path) for path in sorted((clone / "dist").glob("*"))]
        checked = subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *files], check=False)
        print(f"build: {'ok' if built.returncode == 0 else built.stderr[-300:]}, twine check: {checked.returncode}")
        for python in sys.argv[1:] or pythons():
            version = _output([python, "-c", "import platform; print(platform.python_version())"])
            versions.append(version)
            scratch = Path(folder) / version
            (scratch / "home").mkdir(parents=True)
            for name, commands, tpo in ways(python, clone, scratch):
                result = attempt(commands, tpo, scratch / "home")
                rows.setdefault(name, {})[version] = result
                print(f"{version}  {name}: {result}", flush=True)
    print("\n| | " + " | ".join(versions) + " |\n|" + " --- |" * (len(versions) + 1))
    for name, results in rows.items():
        print(f"| `{name}` | " + " | ".join(results.get(version, "not tried") for version in versions) + " |")
    return int(any("failed" in result for results in rows.values() for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
