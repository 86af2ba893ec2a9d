"""The README, docs/, recipes/ and examples/: their commands and programs run, and what they point at is there.

A block of commands has a comment before it that says how it is tested: `<!-- runs: fake -->` and
`<!-- runs: embedded -->` are run in an empty home, `<!-- parsed: REASON -->` is only compared with the real CLI.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import typer.main
import yaml

from tpo.cli.app import app
from tpo.models.embedded import EmbeddedServer
from tpo.options import configurable

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md"),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "recipes").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]
FENCE = re.compile(r"(?:^<!-- ([^\n]+) -->\n)?^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)]+))?\)")
COMMANDS = {"sh", "bash", "console"}
# What else stands in a fence: programs and files, which tests of their own rooms run or read.
OTHERS = {"python", "py", "js", "toml", "json", "yaml", "text", "nginx", "promql", "dockerfile", "bibtex"}
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
SCRIPTS = ("recipes/", "benchmarks/", "examples/")
PROGRAMS = {
    *(
        "chown",
        "curl",
        "docker",
        "git",
        "inspect",
        "install",
        "jq",
        "kubectl",
        "llama-server",
        "llm",
        "make",
        "pip",
        "pipx",
    ),
    *("podman", "pre-commit", "printf", "python", "python3", "source", "sudo", "systemctl", "export", "uv", "vllm"),
    "text-embeddings-router",
}
# Where the pages name a server of the reader's, the tests have one of their own.
SERVERS = re.compile(r"http://localhost:\d+(/v1)?")
PLACEHOLDER = "http://localhost:8000/v1"


class Block(NamedTuple):
    """A fenced block: its page, the comment before it, its language, and its text."""

    page: Path
    marker: str
    language: str
    text: str

    @property
    def code(self) -> str:
        """What to give to a shell: of a session, the lines after a prompt."""
        if self.language != "console":
            return self.text
        return "\n".join(re.findall(r"^\$ (.+)$", self.text, re.MULTILINE))


def every_block() -> list[Block]:
    return [
        Block(page, *found) for page in PAGES for found in FENCE.findall(page.read_text(encoding="utf-8").rstrip("\n"))
    ]


BLOCKS = every_block()
SHELL = [block for block in BLOCKS if block.language in COMMANDS]


def cases(blocks: list[Block]) -> list[object]:
    """The blocks as cases, each named by its page and number."""
    return [pytest.param(block, id=f"{block.page.stem}-{number}") for number, block in enumerate(blocks)]


def simple_commands(code: str) -> Iterator[list[str]]:
    """The commands of a piece of shell, without comments, assignments before them, and redirections."""
    code = re.sub(r"(^|\s)#.*$", r"\1", code.replace("\\\n", " "), flags=re.MULTILINE)
    lexer = shlex.shlex(code, posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    words: list[str] = []
    for word in [*lexer, "\n"]:
        if word.strip("();|&\n"):
            words.append(word)
            continue
        while words and re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)
        if words:
            yield words
        words = []


def check_tpo(arguments: list[str]) -> None:
    """Parse a command line of tpo, which raises where a command, a flag or a required argument is wrong."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("tpo", list(arguments))
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)


def check_command(words: list[str]) -> None:
    """Hold one command against what it calls."""
    program, *arguments = words
    if program.endswith("bin/tpo") or program == "tpo":
        check_tpo([argument for argument in arguments if argument != "…"])
    elif program == "sudo":
        check_command(arguments)
    elif program.startswith(SCRIPTS):
        assert os.access(ROOT / program, os.X_OK), program
    else:
        assert Path(program).name in PROGRAMS, f"{program}: a command that this test does not know"
    if Path(program).name == "python":
        assert arguments[0].startswith("-") or (ROOT / arguments[0]).is_file(), arguments[0]
    if Path(program).name == "make":
        assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for extras in re.findall(r"\.\[([\w,]+)\]", " ".join(arguments)):
        assert set(extras.split(",")) <= EXTRAS.keys(), extras


def test_the_version_stands_in_every_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == project["version"]
    assert f"## {project['version']}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_address_of_the_repository_is_put_in_and_none_is_made_up() -> None:
    program = ROOT / "packaging" / "set_repository.py"
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert "OWNER" not in text
    project = tomllib.loads(runpy.run_path(str(program))["with_repository"](text, "https://forge.example/us/tpo"))
    assert project["project"]["urls"]["Issues"] == "https://forge.example/us/tpo/issues"
    (change,) = project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]
    linked = re.sub(change["pattern"], change["replacement"], "See [runs](docs/runs.md), [it](https://x.y).")
    assert linked == "See [runs](https://forge.example/us/tpo/blob/main/docs/runs.md), [it](https://x.y)."


@pytest.mark.parametrize("path", [*(ROOT / ".github").rglob("*.yml"), ROOT / ".pre-commit-config.yaml"], ids=str)
def test_forms_and_workflows_are_yaml(path: Path) -> None:
    read = yaml.safe_load(path.read_text(encoding="utf-8"))
    for job in read.get("jobs", {}).values():
        for step in job["steps"]:
            for target in re.findall(r"^make (\S+)$", step.get("run", ""), re.MULTILINE):
                check_command(["make", target])


def test_every_block_is_known_and_explains_how_it_is_tested() -> None:
    for block in BLOCKS:
        assert block.language in COMMANDS | OTHERS, f"{block.page.name}: ```{block.language}"
    for block in SHELL:
        assert re.match(r"runs: (fake|embedded)$|parsed: \w", block.marker), f"{block.page.name}:\n{block.text}"
    for page in PAGES:
        outside = FENCE.sub("", page.read_text(encoding="utf-8"))
        assert not re.search(r"\n\n    \S", outside), f"{page.name}: an indented block; use a fence"
        if page.parent.name != "reference":  # the words of messages, which an installed package has too
            assert "'tpo[" not in outside, f"{page.name}: from a clone it is '.[EXTRA]'"


@pytest.mark.parametrize("block", cases([block for block in SHELL if block.language != "bash"]))
def test_commands_exist_with_their_flags(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for words in simple_commands(block.code):
        check_command(words)


@pytest.mark.parametrize("block", cases([block for block in SHELL if block.language == "bash"]))
def test_batch_scripts_are_shell_and_their_tpo_commands_exist(block: Block) -> None:
    ran = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    ours = re.findall(r"^tpo (.*?) &?$", block.text.replace("\\\n", " ").replace(" &\n", " \n"), re.MULTILINE)
    assert ours
    for arguments in ours:
        check_tpo(shlex.split(arguments))


@pytest.mark.parametrize(
    "line", ["tpo align --no-such-flag x", "tpo eval xstest --data DIR", "tpo nothing", "sorcery", "pip install '.[x]'"]
)
def test_a_wrong_command_is_found(line: str) -> None:
    (words,) = simple_commands(line)
    with pytest.raises(Exception):  # noqa: B017 - a usage error of Click's vendored copy, or an assertion
        check_command(words)


class Fake(BaseHTTPRequestHandler):
    """A policy that answers at once, each time with other words, and a reward model that counts letters."""

    protocol_version = "HTTP/1.1"
    count = 0

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.reply({"object": "list", "data": [{"id": "fake", "object": "model", "owned_by": "us"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.startswith("/v1/chat"):
            self.reply(self.completion(body))
        else:
            self.reply({"data": [{"index": 0, "data": self.score(body), "probs": [self.score(body)]}]})

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        choices = []
        for index in range(body.get("n") or 1):
            Fake.count += 1
            text = f"Answer {Fake.count}: " + "a rug is cleaned with soap and water, " * (Fake.count % 5 + 1)
            message = {"role": "assistant", "content": text}
            choices.append({"index": index, "message": message, "finish_reason": "stop"})
        usage = {"prompt_tokens": 10, "completion_tokens": 10 * len(choices), "total_tokens": 10 + 10 * len(choices)}
        return {"id": "1", "object": "chat.completion", "model": "fake", "choices": choices, "usage": usage}

    def score(self, body: dict[str, Any]) -> float:
        return len(json.dumps(body)) / 10 - 30

    def reply(self, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture(scope="module")
def fake() -> Iterator[str]:
    """The root address of the fake server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Fake)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def scratch(home: Path, page: Path, **more: str) -> dict[str, str]:
    """Fill an empty home with the page's own modules and some data, and return an environment for it."""
    text = page.read_text(encoding="utf-8")
    for name, code in re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        (home / f"{name}.py").write_text(code)
    for name, code in re.findall(r"Save this as `(\w+)\.py`:\n\n```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        (home / f"{name}.py").write_text(code)
    rows = [json.dumps({"id": f"q{number}", "prompt": f"How do I clean rug {number}?"}) for number in range(8)]
    (home / "prompts.jsonl").write_text("\n".join(rows) + "\n")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TPO_")}
    return {**kept, "PATH": path, "HOME": str(home), "TPO_CACHE": str(home / "cache"), **more}


def run_shell(code: str, home: Path, environment: dict[str, str]) -> None:
    ran = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", code], cwd=home, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, f"{code}\n{ran.stdout}\n{ran.stderr}"
    assert ran.stdout.strip()


@pytest.mark.parametrize("block", cases([block for block in SHELL if block.marker == "runs: fake"]))
def test_commands_run_against_a_fake(block: Block, tmp_path: Path, fake: str) -> None:
    code = SERVERS.sub(lambda found: fake + (found[1] or ""), block.code).replace("API_KEY=…", "API_KEY=key")
    run_shell(code, tmp_path, scratch(tmp_path, block.page, TPO_POLICY=f"{fake}/v1"))


PROGRAMS_OF_OURS = sorted((ROOT / "examples").glob("*.py"))
# tests/hf/test_training.py runs it, where there is torch.
HEAVY = {"train_dpo"}


@pytest.mark.parametrize(
    "path", [path for path in PROGRAMS_OF_OURS if path.stem not in HEAVY], ids=lambda path: path.stem
)
def test_examples_run_against_a_fake(path: Path, tmp_path: Path, fake: str) -> None:
    environment = scratch(tmp_path, ROOT / "README.md", TPO_POLICY=f"{fake}/v1")
    text = path.read_text(encoding="utf-8")
    if "TPO_REWARD" in text:
        environment["TPO_REWARD"] = f"vllm:{fake}"
    # Methods, rewards and benchmarks have a command for their folder in the docstring.
    found = re.search(r"^(tpo (?:align|eval) .*?) +\(from this folder\)$", text, re.MULTILINE)
    assert found or "__main__" in text
    if found:
        ours = found[1].replace("/tmp", str(tmp_path))
        run_shell(f"cd {shlex.quote(str(path.parent))} && {ours}", tmp_path, environment)
    if "__main__" in text:
        run_shell(f"{shlex.quote(sys.executable)} {shlex.quote(str(path))}", tmp_path, environment)


def test_the_list_of_examples_is_whole() -> None:
    page = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert all(f"]({path.name})" in page for path in PROGRAMS_OF_OURS)


def test_open_webui_is_given_the_servers_address_and_key() -> None:
    file = ROOT / "examples" / "open_webui" / "compose.yaml"
    services = yaml.safe_load(file.read_text(encoding="utf-8"))["services"]
    server, page = services["tpo"], services["open-webui"]
    check_tpo(server["command"])
    assert (file.parent / server["build"]["context"] / server["build"]["dockerfile"]).is_file()
    port = server["command"][server["command"].index("--port") + 1]
    assert page["environment"]["OPENAI_API_BASE_URL"] == f"http://tpo:{port}/v1"
    assert page["environment"]["OPENAI_API_KEY"] == server["environment"]["TPO_SERVE_KEY"]
    known = {f"TPO_{name.upper()}" for name in configurable()} | {"TPO_SERVE_KEY"}
    assert set(server["environment"]) <= known


def test_open_webui_finds_the_presets_and_streams_an_answer(fake: str, tmp_path: Path) -> None:
    file = ROOT / "examples" / "open_webui" / "compose.yaml"
    command: list[str] = yaml.safe_load(file.read_text(encoding="utf-8"))["services"]["tpo"]["command"]
    command[command.index("--host") + 1], command[command.index("--port") + 1] = "127.0.0.1", "0"
    environment = scratch(tmp_path, ROOT / "README.md", TPO_POLICY=f"{fake}/v1", TPO_SERVE_KEY="sk-page-of-open-webui")
    process = subprocess.Popen(
        [sys.executable, "-m", "tpo", *command], env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        found = next(found for line in process.stderr if (found := re.search(r"serving at (\S+)/v1", line)))
        with httpx.Client(
            headers={"Authorization": "Bearer sk-page-of-open-webui"}, trust_env=False, timeout=60
        ) as page:
            while page.get(f"{found[1]}/ready").status_code != 200:  # it has not asked the policy for its models yet
                time.sleep(0.05)
            models = {model["id"] for model in page.get(f"{found[1]}/v1/models").json()["data"]}
            assert {"fake", "fake:tpo-d1-n3", "fake:best-of-4"} <= models
            body = {"model": "fake:tpo-d1-n3", "stream": True, "messages": [{"role": "user", "content": "Why?"}]}
            answer = page.post(f"{found[1]}/v1/chat/completions", json=body)
            assert "a rug is cleaned with soap and water" in answer.text
            assert answer.text.rstrip().endswith("data: [DONE]")
            assert httpx.get(f"{found[1]}/v1/models", trust_env=False).status_code == 401
    finally:
        process.kill()
        process.communicate()


@pytest.mark.embedded
@pytest.mark.parametrize("block", cases([block for block in SHELL if block.marker == "runs: embedded"]))
def test_commands_run_on_the_embedded_model(block: Block, tmp_path: Path, embedded_server: EmbeddedServer) -> None:
    key = embedded_server.api_key
    run_shell(block.code, tmp_path, scratch(tmp_path, block.page, TPO_POLICY=embedded_server.url, TPO_API_KEY=key))


@pytest.mark.embedded
@pytest.mark.parametrize("block", cases([block for block in BLOCKS if block.language == "python"]))
def test_python_examples_run(block: Block, tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", block.text], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        place = page.parent / target if target else page
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), f"{target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", heading).lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}
