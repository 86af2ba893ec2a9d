"""The functions of the library: answer one query or a dataset, and rebuild a result from its trace."""

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
        effort: low, medium, high or max: chooses method, width, depth, critiques and prompts by the kind of reward and
            the size of the policy. Explicit arguments override it.
        settings: settings of the method, by name.
        width: N, answers per step.
        depth: D, update steps.
        policy: the model that answers: `embedded`, `gguf:PATH`, `hub:ORG/REPO[:FILE]`, the URL of an OpenAI-compatible
            server, or a `Model`; a mapping of names to these is a panel.
        policy_model: the model's name at the server; not needed if the server has one model.
        critic: the model that writes critiques and advice; the policy unless given.
        critic_model: the critic's name at its server.
        editor: the model that writes updated answers; the policy unless given.
        editor_model: the editor's name at its server.
        reward: the reward: `surface` (the default), `python:MODULE:FUNCTION`, a function that takes a list of
            conversations and returns a list of numbers, or a `Reward`.
        prefer: a file as the reward: a rubric in plain words, or liked and disliked answers. The critic, or else the
            policy, makes a checklist of it and checks answers by it.
        require: rules such as `max-words=80`, which rank before the reward.
        rewards: rewards that `reward` may name, as in `[rewards.NAME]` of tpo.toml.
        score_cache: a file that keeps scores for later runs.
        check: test a reward model first, and refuse one that is constant, squashed or blind to quality.
        judge: a held-out reward, as for `reward`, or the address of a judge. It scores the first sample and the answer
            after the search (`Result.held_out`), and changes neither.
        select: the rule that chooses the answer among the candidates: `best` (the highest reward), `soft`, `hedged`,
            `mbr`, `majority` or `knockout`, with a number as in `soft:10`.
        prompts: a folder of templates that replace the default prompts; `small`, the prompts for small models; or
            `auto`, which chooses by the size in the model's name.
        temperature: sampling temperature, 0 or more.
        top_p: probability mass of nucleus sampling, above 0 and at most 1.
        seed: seed of all random choices; the same seed gives the same result if the backend is deterministic.
        max_tokens: most completion tokens of an answer.
        critic_max_tokens: most completion tokens of a critique; `max_tokens` unless given.
        quorum: answers of a step that are enough to continue; the others are cancelled. All unless given.
        budget_tokens: prompt and completion tokens of all roles together, after which the search ends with the best
            answer so far.
        budget_seconds: seconds after which the search ends with the best answer so far.
        extra: more fields for the chat-completions requests for answers: tools, stop, response_format and so on.
        omit: fields to leave out of requests, such as `top_p`, if a server refuses them.
        trace: a JSON Lines file that records the search. The trace of an unfinished search with the same plan is
            continued, another trace is replaced, and a file that is not a trace is refused.
        stopper: ends the search from outside, with the best answer so far.
        on_event: called with each event. Without it, a notebook shows a line of progress.
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
    conversation(query)  # refuses an unusable query before anything is opened
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
    """Answer every query of a dataset, aligned, as fast as the server allows.

    The same call continues where the last one stopped, for whatever reason.

    Args:
        data: a JSON Lines, CSV, Parquet or text file, a folder, or a dataset of the Hugging Face Hub (`docs/data.md`).
        out: the directory of the run; answers.jsonl and summary.json are in it.
        total_budget_tokens: completion tokens of all queries together; each query draws its first answers, the rest is
            spent where the expected gain is largest.
        column: the column that holds the query, if it has no usual name.
        split: the split to read, if the dataset has several.
        skip_bad_rows: skip bad rows instead of stopping before the run begins.
        concurrency: sequences in flight at each server; None measures what the server takes.
        patience: seconds for which tpo retries a server that is down or overloaded.
        fresh: start again; earlier files are moved aside.
        retry_failed: run the failed queries again.
        input_order: sort the answers as in the data at the end.
        parquet: write answers.parquet as well.
        prices: prices of a million tokens, such as `policy=0.15/0.60` for prompt and completion.
        ray: the address of a Ray cluster that works on the queries (`docs/clusters.md`).
        on_note: called with each sentence that a user should read. A notebook also shows a line of progress.
        options: the options of `align` that decide a result: method, width, depth, models, reward and so on. A
            policy may be several URLs, separated by commas, of servers with the same model.

    Returns:
        the run's directory and its summary.

    Raises:
        InputError: what was given cannot be used, or the directory holds another run.
        TPOError: as `align`; the error of a single query is recorded with it and not raised.
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
    """Rebuild a search's result from its trace, without any call.

    Args:
        trace: a file of `align(trace=…)`; from the trace of a killed search, the result has the best answer so far.
        on_note: called with a sentence about a torn last line.

    Raises:
        JournalError: the file is not a trace, or holds no answer.
    """
    records, torn = read_journal(Path(trace))
    if torn:
        on_note(torn)
    return result_of(records)
