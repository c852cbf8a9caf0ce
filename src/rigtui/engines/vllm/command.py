"""A plan as a `vllm serve` command, in the flags that the build's own help offers. Pure."""

from __future__ import annotations

from rigtui.engines.engine import Build
from rigtui.engines.vllm import rules
from rigtui.engines.vllm.arguments import Own
from rigtui.engines.vllm.derive import Candidate
from rigtui.engines.vllm.tools import tool_parser
from rigtui.intent.intent import Intent
from rigtui.models.model import Model
from rigtui.text import MIB

PARTITION = "VLLM_PP_LAYER_PARTITION"
CODING = "coding"
"""The use case whose requests call tools."""


def offers(build: Build | None, option: str) -> bool:
    """Whether the build knows an option; an unknown build is taken for a current one."""
    return build is None or not build.options or option in build.options


def start(build: Build | None, model: Model) -> tuple[str, ...]:
    """How the server is started, with the model as the first argument."""
    argv = build.argv if build else ("vllm",)
    return (*argv, model.path) if argv[-1] == "serve" else (*argv, "serve", model.path)


def serve_command(model: Model, intent: Intent, candidate: Candidate, own: Own, build: Build | None) -> tuple[str, ...]:
    """The whole command but for address, port and name; the user's own arguments stand last, where the last one wins."""
    settings = candidate.settings
    words = ["--max-model-len", str(settings.context), "--max-num-seqs", str(settings.sequences)]
    words += ["--gpu-memory-utilization", f"{candidate.utilization:g}"]
    if settings.tensor_parallel > 1:
        words += ["--tensor-parallel-size", str(settings.tensor_parallel)]
    if settings.stages > 1:
        words += ["--pipeline-parallel-size", str(settings.stages)]
    if intent.overrides.batch or intent.overrides.ubatch:
        words += ["--max-num-batched-tokens", str(settings.batched_tokens)]
    if settings.eager:
        words += ["--enforce-eager"]
    if settings.kv_type == "fp8":
        words += ["--kv-cache-dtype", "fp8"]
    if rules.dtype_for(model, candidate.layout.cards)[1]:
        words += ["--dtype", "half"]
    words += tool_words(model, intent)
    return (*start(build, model), *_spoken(words, own, build), *intent.overrides.engine_args)


def tool_words(model: Model, intent: Intent) -> list[str]:
    """What agents need: calls found in the answer by the parser of the model's family."""
    parser = tool_parser(model) if intent.use_case.name == CODING else None
    return ["--enable-auto-tool-choice", "--tool-call-parser", parser] if parser else []


def cpu_command(model: Model, intent: Intent, own: Own, build: Build, context: int, sequences: int, kv_bytes: int) -> tuple[str, ...]:
    """The same for a build without GPUs: its cache is given in bytes, because a share of RAM would be checked against what is free."""
    words = ["--max-model-len", str(context), "--max-num-seqs", str(sequences)]
    words += ["--kv-cache-memory-bytes", str(-(-kv_bytes // MIB) * MIB), "--enforce-eager", *tool_words(model, intent)]
    return (*start(build, model), *_spoken(words, own, build), *intent.overrides.engine_args)


def _spoken(words: list[str], own: Own, build: Build | None) -> list[str]:
    """Without options that the build does not know, and without those the user gives."""
    kept: list[str] = []
    keep = True
    for word in words:
        if word.startswith("--"):
            keep = word not in own.flags and offers(build, word)
        if keep:
            kept.append(word)
    return kept
