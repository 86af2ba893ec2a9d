"""Judges: language models that grade or rank answers. See docs/judges.md."""

from tpo.rewards.judges.listwise import ListwiseJudge
from tpo.rewards.judges.pairwise import PairwiseJudge
from tpo.rewards.judges.pointwise import PointwiseJudge
from tpo.rewards.judges.spec import parse_judge

__all__ = ["ListwiseJudge", "PairwiseJudge", "PointwiseJudge", "parse_judge"]
