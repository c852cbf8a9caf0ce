"""What an export is made from."""

from __future__ import annotations

from typing import NamedTuple

from rigtui.intent.profile import Profile
from rigtui.planning.plan import Plan

FORMATS = {
    "models.conf": "models.conf",
    "sh": "rigtui.sh",
    "llama-swap": "llama-swap.yaml",
    "llama-preset": "llama-preset.ini",
    "systemd": "rigtui.service",
    "compose": "compose.yaml",
    "modelfile": "Modelfile",
}
"""Format -> what such a file is usually called."""


class Exported(NamedTuple):
    """A profile and its plan. No plan: only a profile that says by itself all that the format needs can be written."""

    profile: Profile
    plan: Plan | None


class CannotSayError(Exception):
    """Why a format cannot express a profile, without the profile's name: whoever writes the file puts that before it."""
