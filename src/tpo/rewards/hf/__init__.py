"""Reward models from the Hugging Face hub or a folder, run in this process (extra `hf`)."""

from __future__ import annotations

from tpo.rewards.hf.loading import HfSettings
from tpo.rewards.hf.reward import HfReward

__all__ = ["HfReward", "HfSettings"]
