"""rigtui: run local language models well on one rig of unequal GPUs."""

__version__ = "0.1.0"
