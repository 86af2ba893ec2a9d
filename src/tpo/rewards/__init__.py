"""Rewards: what says how good an answer is. See docs/rewards.md."""

from tpo.rewards.protocol import Reward, Score
from tpo.rewards.resolve import resolve_reward

__all__ = ["Reward", "Score", "resolve_reward"]
