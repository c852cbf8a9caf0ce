"""Which commands are there, and what does each module that carries one offer?"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    import argparse

COMMANDS = {
    "gpus": "what every card has, by kind of use",
    "models": "the models found on this machine",
    "plan": "how a model would run on this rig, and why",
    "preview": "what a llama-server or vllm command would do on this rig",
    "run": "launch a model or a profile and watch it",
    "ps": "runs on this rig",
    "logs": "what a run's engine said",
    "stop": "stop a run",
    "step": "the steps that would mend a run; take one by hand",
    "profiles": "list, show, edit or remove profiles",
    "results": "what earlier runs of a profile measured",
    "tune": "try what a profile leaves open, keep the best",
    "forget": "learn nothing more from the runs so far",
    "export": "a profile in another tool's format",
    "import": "profiles from a models.conf",
    "serve": "the screen in a browser on this machine",
    "doctor": "is this rig ready, and what mends it",
    "rig": "save this rig as a rig file",
    "demo": "the whole thing with no GPU and no download",
}


class Command(Protocol):
    """What every module in `rigtui.cli` that carries a command offers."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; returns the exit code."""


def command(name: str) -> Command:
    """The module of a command, imported now."""
    return cast(Command, import_module(f"rigtui.cli.{name}_command"))
