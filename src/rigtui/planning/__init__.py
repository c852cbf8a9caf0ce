"""From a rig, a model and an intent to a plan: pure values and functions."""
