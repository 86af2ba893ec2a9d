"""Every block of shell and Python in the documentation runs, or its comment gives the reason why it cannot here."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest
import yaml

from docs.blocks import BLOCKS, COMMANDS, MARKER, PROGRAMS, ROOT, Block, simple_commands
from docs.home import PLACEHOLDERS, RUNS, environment, fill, replaced
from docs.servers import everything, with_servers
from programs import folder
from tpo.models.embedded import EmbeddedServer

SERVER = re.compile(r"\btpo (serve|view)\b")
LISTENING = re.compile(r"(?:serving|the page is) at (http://[^/\s]+)")
# A block that reads runs or a trace, and makes none by itself.
READS, MAKES = re.compile(r"\b(runs|evals)/|\bruns\b|trace\.jsonl"), re.compile(r"--out (runs|evals)/|run_dataset")


def cases(blocks: list[Block]) -> Sequence[object]:
    """The blocks as cases, each named by its page and its number there."""
    seen: Counter[str] = Counter()
    found = []
    for block in blocks:
        seen[block.page.stem] += 1
        found.append(pytest.param(block, id=f"{block.page.stem}-{seen[block.page.stem]}"))
    return found


def test_every_block_explains_how_it_is_tested() -> None:
    for block in [*COMMANDS, *PROGRAMS]:
        assert MARKER.match(block.marker), f"{block.page.name}: {block.marker!r} before\n{block.text}"
        if found := re.match(r"runs: (tests/\S+)", block.marker):
            assert (ROOT / found[1]).is_file(), found[1]
    for block in BLOCKS:
        assert block.marker == "" or block in COMMANDS or block in PROGRAMS or not MARKER.match(block.marker)


@pytest.fixture(scope="module")
def servers() -> Iterator[str]:
    """The root address of the servers that the pages name."""
    with everything() as root:
        yield root


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `tpo` and `python`."""
    return folder(tmp_path_factory.mktemp("bin"))


@pytest.fixture(scope="module")
def finished(servers: str, programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with runs, an evaluation and a trace."""
    home = tmp_path_factory.mktemp("finished")
    fill(home, ROOT / "README.md", servers)
    shell(RUNS, home, environment(home, programs, TPO_POLICY=f"{servers}/v1"))
    return home


@pytest.fixture
def home(tmp_path: Path, servers: str, request: pytest.FixtureRequest) -> Path:
    """A home for a block."""
    block: Block = request.node.callspec.params["block"]
    fill(tmp_path, block.page, servers)
    if READS.search(block.code) and not MAKES.search(block.code):
        finished: Path = request.getfixturevalue("finished")
        for name in ("runs", "evals", "trace.jsonl"):
            (shutil.copytree if (finished / name).is_dir() else shutil.copy)(finished / name, tmp_path / name)
    return tmp_path


def shell(code: str, home: Path, variables: dict[str, str]) -> str:
    """Run shell, which must succeed, and return what it prints."""
    command = ["bash", "-eu", "-o", "pipefail", "-c", code]
    ran = subprocess.run(command, cwd=home, env=variables, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{code}\n{ran.stdout}\n{ran.stderr}"
    assert "Traceback" not in ran.stderr, ran.stderr
    return ran.stdout


def served(code: str, home: Path, variables: dict[str, str]) -> None:
    """Run shell that ends with `tpo serve` or `tpo view`: it must answer, and end in order when it is asked to."""
    lines = code.replace(" --port 8000", "").splitlines()
    lines[-1] = SERVER.sub(r"exec tpo \1 --port 0", lines[-1])
    process = subprocess.Popen(
        ["bash", "-eu", "-c", "\n".join(lines)],
        cwd=home,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = []
    try:
        for line in process.stderr:
            said.append(line)
            if found := LISTENING.search(line):
                break
        else:
            pytest.fail(f"{code}\n{''.join(said)}")
        with httpx.Client(base_url=found[1], trust_env=False, timeout=120) as client:
            if "view" in lines[-1]:
                assert "<html" in client.get("/").text
            elif "--keys" in lines[-1]:
                assert client.get("/v1/models").status_code == 401
            else:
                while client.get("/ready").status_code != 200:  # it has not asked the policy for its models yet
                    time.sleep(0.05)
                body = {"model": "fake:best-of-2", "messages": [{"role": "user", "content": "Why?"}]}
                answer = client.post("/v1/chat/completions", json=body)
                assert answer.status_code == 200, answer.text
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=120)
        assert process.returncode == 0, f"{code}\n{''.join(said)}{rest}"
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("block", cases([block for block in COMMANDS if block.runs_here]))
def test_commands_run_against_fakes(block: Block, home: Path, servers: str, programs: Path) -> None:
    for line in block.lines():
        for program, *_ in simple_commands(line):
            if program in ("jq", "curl") and not shutil.which(program):
                pytest.skip(f"{program} is not installed")
    variables = environment(home, programs, TPO_POLICY=f"{servers}/v1", TPO_REWARD="surface", TPO_WIDTH="2")
    variables |= {"TPO_DEPTH": "1", "PYTHONPATH": f"{home}:{os.environ.get('PYTHONPATH', '')}"}
    waiting: list[str] = []
    for line in block.lines():
        line = with_servers(replaced(line, PLACEHOLDERS), servers)
        waiting.append(line)
        if SERVER.search(line):
            served("\n".join(waiting), home, variables)
            waiting = [kept for kept in waiting if kept.startswith("export ")]
    shell("\n".join(waiting), home, variables)


@pytest.mark.embedded
@pytest.mark.parametrize("block", cases([block for block in COMMANDS if block.marker == "runs: embedded"]))
def test_commands_run_on_the_embedded_model(
    block: Block, home: Path, programs: Path, embedded_server: EmbeddedServer
) -> None:
    variables = environment(home, programs, TPO_POLICY=embedded_server.url, TPO_API_KEY=embedded_server.api_key)
    variables |= {"TPO_WIDTH": "2", "TPO_DEPTH": "1", "TPO_CRITIC_MAX_TOKENS": "16"}
    assert shell(block.code.replace("--max-tokens 128", "--max-tokens 16"), home, variables).strip()


@pytest.mark.parametrize("block", cases([block for block in PROGRAMS if block.runs_here]))
def test_programs_run_against_fakes(block: Block, home: Path, servers: str, programs: Path) -> None:
    tests = "for test in [value for name, value in list(globals().items()) if name.startswith('test_')]: test()"
    # The library reads no variable for its policy, and the built-in model would take minutes.
    code = re.sub(r"(?=width=\d, depth=\d, max_tokens)", f'policy="{servers}/v1", ', block.text)
    (home / "program.py").write_text(f"{code}\n{tests}\n")
    shell("python program.py", home, environment(home, programs, TPO_POLICY=f"{servers}/v1"))


@pytest.mark.parametrize("block", cases([block for block in PROGRAMS if block.marker.startswith("parsed: ")]))
def test_other_programs_are_python(block: Block) -> None:
    compile(block.text, str(block.page), "exec")


EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
# tests/hf/test_training.py runs it, where there is torch.
HEAVY = {"train_dpo"}


@pytest.mark.parametrize("path", [path for path in EXAMPLES if path.stem not in HEAVY], ids=lambda path: path.stem)
def test_examples_run_against_fakes(path: Path, tmp_path: Path, servers: str, programs: Path) -> None:
    variables = environment(tmp_path, programs, TPO_POLICY=f"{servers}/v1")
    fill(tmp_path, ROOT / "README.md", servers)
    text = path.read_text(encoding="utf-8")
    if "TPO_REWARD" in text:
        variables["TPO_REWARD"] = f"vllm:{servers}"
    # Methods, rewards and benchmarks have a command for their folder in the docstring.
    found = re.search(r"^(tpo (?:align|eval) .*?) +\(from this folder\)$", text, re.MULTILINE)
    assert found or "__main__" in text
    if found:
        ours = found[1].replace("/tmp", str(tmp_path))
        assert shell(f"cd {shlex.quote(str(path.parent))} && {ours}", tmp_path, variables).strip()
    if "__main__" in text:
        assert shell(f"python {shlex.quote(str(path))}", tmp_path, variables).strip()


def test_the_list_of_examples_is_whole() -> None:
    page = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert all(f"]({path.name})" in page for path in EXAMPLES)


def test_open_webui_finds_the_presets_and_streams_an_answer(servers: str, programs: Path, tmp_path: Path) -> None:
    file = ROOT / "examples" / "open_webui" / "compose.yaml"
    command: list[str] = yaml.safe_load(file.read_text(encoding="utf-8"))["services"]["tpo"]["command"]
    command[command.index("--host") + 1], command[command.index("--port") + 1] = "127.0.0.1", "0"
    variables = environment(tmp_path, programs, TPO_POLICY=f"{servers}/v1", TPO_SERVE_KEY="sk-page-of-open-webui")
    process = subprocess.Popen(["tpo", *command], env=variables, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
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
