"""The library's front door: one query in, the best answer and its whole story out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from tpo.engine.events import Listener
from tpo.engine.journal import read_journal
from tpo.engine.limits import Stopper
from tpo.engine.result import Result, result_of
from tpo.messages import conversation
from tpo.models.fleet import pace_for_one
from tpo.notebook import in_notebook
from tpo.options import RunOptions, options_from, table
from tpo.runs.dataset import DatasetOptions, Report, Watcher, run_spec
from tpo.session.session import Session
from tpo.session.spec import Options, specified
from tpo.session.sync import run_sync


def _quiet(_: Any) -> None:
    """Listen to nothing."""


async def align(
    query: str | Sequence[Mapping[str, Any]],
    *,
    trace: str | Path | None = None,
    stopper: Stopper | None = None,
    on_event: Listener | None = None,
    on_note: Callable[[str], None] = _quiet,
    **options: Unpack[Options],
) -> Result:
    """Answer a query, aligned with a reward (Test-Time Preference Optimization, arXiv 2501.12895).

    Args:
        query: a question, or chat messages with system message and history.
        method: a method's name (`tpo methods` lists them), `python:MODULE:NAME`, or the generator function itself.
        effort: low, medium, high or max: one dial for method, width, depth and length of critiques, chosen by the kind
            of reward and the size of the policy. What is given explicitly counts.
        settings: the method's own settings, by name.
        width: N, answers per step.
        depth: D, update steps.
        policy: who answers: `embedded`, `gguf:PATH`, `hub:ORG/REPO[:FILE]`, the URL of an OpenAI-compatible server, or
            a `Model`.
        policy_model: the model's name there; not needed where the server has one model.
        critic: who writes loss and gradient; the policy unless given.
        critic_model: likewise.
        editor: who writes the updated answers; the policy unless given.
        editor_model: likewise.
        reward: what steers: `surface` (the default), `python:MODULE:FUNCTION`, a function that takes a list of
            conversations and returns a list of numbers, or a `Reward`.
        prefer: a file with a rubric in plain words, or with liked and disliked answers, as the reward; the critic, or
            the policy, writes its checklist and goes through it.
        require: rules such as `max-words=80`, which rank before the reward.
        rewards: rewards that `reward` may name, as in `[rewards.NAME]` of tpo.toml.
        score_cache: a file that keeps scores for later runs.
        check: refuse a reward model that looks broken (constant, squashed, blind to quality) before anything is paid.
        judge: a reward that steers nothing, as for `reward`, or the address of a judge. It scores the first sample and
            the answer when the search is over (`Result.held_out`).
        select: what chooses the answer among the candidates: `best` (the highest reward), `soft`, `hedged`, `mbr`,
            `majority` or `knockout`, with a number as in `soft:10`.
        prompts: a folder with templates that replace the default wording; or `small`, the wording for small models, or
            `auto`, which chooses by the size in the model's name.
        temperature: sampling temperature, 0 or more.
        top_p: nucleus mass, above 0 and at most 1.
        seed: seed of the run; the same seed gives the same result where the backend is deterministic.
        max_tokens: completion tokens per answer.
        critic_max_tokens: completion tokens per critique; `max_tokens` unless given.
        quorum: answers of a step that suffice to go on; those still being written are left behind. All unless given.
        budget_tokens: prompt and completion tokens of all roles together, after which the best answer so far counts.
        budget_seconds: likewise in wall-clock time.
        extra: further fields of the chat-completions requests for answers: tools, stop, response_format and so on.
        trace: a JSON Lines file to write everything to, as it happens. A trace of the same run that was broken off is
            continued, a trace of another run or of a whole one is replaced, and a file that is no trace is refused.
        stopper: ends the run from outside, with the best answer so far.
        on_event: called with each event. Unless given, a notebook shows a line of progress, and nothing else does.
        on_note: called with each sentence that a user should read.

    Returns:
        the answer, its reward, the steps, what each role cost, and the trace.

    Raises:
        InputError: what was given cannot be used.
        PromptError: a template is broken.
        ModelError: a server cannot be reached, refuses or misbehaves.
        RewardError: the reward is broken.
        CheckError: a reward model failed the check.
        JournalError: the trace cannot be written.
    """
    conversation(query)  # a query that cannot be used is refused before anything is opened
    async with Session(pace=pace_for_one, on_note=on_note, **options) as session:
        return await session.align(query, trace=trace, stopper=stopper, on_event=on_event, alone=True)


async def run_dataset(
    data: str | Path,
    out: str | Path,
    *,
    ray: str | None = None,
    on_note: Callable[[str], None] = _quiet,
    **options: Unpack[DatasetOptions],
) -> Report:
    """Answer every query of a dataset, aligned, at the full speed of the server; nothing that was paid for is lost.

    The same call again continues where the last one stopped, however it ended.

    Args:
        data: a JSON Lines, CSV, Parquet or text file, a folder, or a dataset of the Hugging Face Hub (`docs/data.md`).
        out: the directory of the run; answers.jsonl and summary.json are in it.
        total_budget_tokens: completion tokens of all queries together, spent where more answers are worth most.
        column: the column that holds the query, where it has no usual name.
        split: the split of a dataset that has several.
        skip_bad_rows: leave bad rows out, instead of refusing to begin.
        concurrency: sequences in flight at each server; None finds out what the server takes.
        patience: seconds for which an endpoint that is down or overloaded is tried again.
        fresh: begin anew; what was in the directory is put aside.
        retry_failed: try the queries again that ended with an error.
        input_order: put the answers into the order of the data when all are there.
        parquet: write answers.parquet as well.
        prices: what a million tokens cost, such as `policy=0.15/0.60` for prompt and completion.
        ray: the address of a Ray cluster over which the queries are spread (`docs/clusters.md`).
        on_note: called with each sentence that a user should read. A notebook shows a line of progress besides.
        options: the options of `align` that decide a result: method, width, depth, models, reward and so on. A
            policy may be several URLs with commas between them, which serve the same model.

    Returns:
        where the run is, and what it came to.

    Raises:
        InputError: what was given cannot be used, or the directory holds another run.
        TPOError: as `align`; a query's own error is recorded with it and raises nothing.
    """
    running = options_from(RunOptions, {name: value for name, value in options.items() if name in table(RunOptions)})
    search: Any = {name: value for name, value in options.items() if name not in table(RunOptions)}
    cluster = None
    if ray is not None:
        from tpo.runs.ray import Cluster

        cluster = Cluster(ray, search)
    spec = specified(search) if cluster is None else cluster.spec
    if not in_notebook():
        return await run_spec(str(data), Path(out), spec, running, Watcher(on_note), cluster)
    from tpo.runs.notebook import NotebookWatcher

    watcher = NotebookWatcher(on_note)
    try:
        return await run_spec(str(data), Path(out), spec, running, watcher, cluster)
    finally:
        await watcher.close()


def run_dataset_sync(data: str | Path, out: str | Path, **options: Any) -> Report:
    """`run_dataset` for scripts and notebooks: works with and without a running event loop."""
    return run_sync(run_dataset(data, out, **options))


def align_sync(query: str | Sequence[Mapping[str, Any]], **options: Any) -> Result:
    """`align` for scripts and notebooks: works with and without a running event loop.

    Args:
        query: as in `align`.
        options: as in `align`.

    Returns:
        as `align`.
    """
    return run_sync(align(query, **options))


def replay(trace: str | Path, on_note: Callable[[str], None] = _quiet) -> Result:
    """Rebuild a run's result from its trace, without any call.

    Args:
        trace: a file that `align` wrote; that of a run which was killed gives the best answer so far.
        on_note: called with a sentence about a torn last line.

    Raises:
        JournalError: the file is no trace, or holds no answer.
    """
    records, torn = read_journal(Path(trace))
    if torn:
        on_note(torn)
    return result_of(records)
