"""Reward models from the Hugging Face hub or a folder, run in this process (extra `hf`)."""

from __future__ import annotations

from tpo.rewards.hf.reward import HfReward
from tpo.rewards.hf.settings import HfSettings

__all__ = ["HfReward", "HfSettings"]
