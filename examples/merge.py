"""A method in twenty lines: merge the best answers into one, with a template and a setting of its own.

tpo align "How do I clean a table?" --method python:merge:merge --set best=3     (from this folder)
"""

from pathlib import Path

from tpo.methods import Outcome, Pool, Sample, Search, method


@method(templates=Path(__file__).parent / "merge_templates")
def merge(query, *, width: int, depth: int, prompts, best: int = 2) -> Search:  # type: ignore[no-untyped-def]
    """Draw answers, and merge the best of them into one, again and again."""
    pool = Pool()
    pool.add((yield Sample(prompts.render("answer", query), width)))
    for _ in range(depth):
        prompt = prompts.render("merge", query, drafts=pool.ranked(best))
        if not pool.add((yield Sample(prompt, 1))):
            return Outcome(pool.chosen, "converged")
    return Outcome(pool.chosen, "depth")
