"""Rewards: they score answers. See docs/rewards.md."""

from tpo.rewards.protocol import Reward, Score
from tpo.rewards.resolve import opened

__all__ = ["Reward", "Score", "opened"]
