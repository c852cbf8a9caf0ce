"""How a plan for vLLM is started: its command with address and name, and what its environment needs. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rigtui.engines.engine import Build, Spawn
from rigtui.engines.vllm.command import PARTITION
from rigtui.planning.plan import Plan

KEY_VARIABLE = "VLLM_API_KEY"
_NAME = "--served-model-name"
_ENVIRONMENT = {"NO_COLOR": "1", "VLLM_NO_USAGE_STATS": "1"}
"""A log without colors, and nothing told to anyone outside."""


def spawn(plan: Plan, build: Build, host: str, port: int, api_key_file: str | None = None) -> Spawn:
    """The process to start for `plan`. The key never stands in a command: vLLM reads one from its environment."""
    start = _after_model(build)
    name = _own_name(plan.command) or plan.model.name
    address = ("--host", host, "--port", str(port), _NAME, name)
    return Spawn(
        # Before the plan's own arguments, so that the user's stay last.
        argv=(*plan.command[:start], *address, *plan.command[start:]),
        env=_ENVIRONMENT | plan.env,
        not_inherited=(PARTITION,),
        key_variable=None if api_key_file is None else KEY_VARIABLE,
        api="vllm",
        host=host,
        port=port,
        model_name=name,
        weights_bytes=plan.model.weights_bytes,
    )


def _after_model(build: Build) -> int:
    """Where the options begin: behind the program, `serve` and the model."""
    return len(build.argv) + (0 if build.argv[-1] == "serve" else 1) + 1


def _own_name(command: Sequence[str]) -> str | None:
    """The first name of the user's own `--served-model-name`, by which the API knows the model."""
    for at in range(len(command) - 1, -1, -1):
        option, equals, value = command[at].replace("_", "-", 2).partition("=") if command[at].startswith("--") else ("", "", "")
        if option == _NAME:
            return value if equals else next(iter(command[at + 1 : at + 2]), None)
    return None
