"""A plan as a llama-server command. Flags a build does not know are left out or spelled its own way. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rigtui.engines.engine import Build, Spawn
from rigtui.engines.llamacpp.arguments import Asked
from rigtui.engines.llamacpp.environment import DECIDING
from rigtui.engines.llamacpp.search import Candidate
from rigtui.intent.intent import Intent
from rigtui.models.model import Model
from rigtui.planning.plan import Plan, Reason
from rigtui.text import nearest

DEFAULT_CACHE_RAM_MIB = 8192
"""llama-server's host cache for prompts (`--cache-ram`)."""
FIT_OFF = {
    "-ngl": "layers on the GPU",
    "--gpu-layers": "layers on the GPU",
    "--n-gpu-layers": "layers on the GPU",
    "-ts": "the split",
    "--tensor-split": "the split",
    "-ot": "single tensors",
    "--override-tensor": "single tensors",
    "-cmoe": "experts",
    "--cpu-moe": "experts",
    "-ncmoe": "experts",
    "--n-cpu-moe": "experts",
    "-ncffn": "dense layers",
    "--n-cpu-ffn": "dense layers",
}
"""Options that make `--fit` give up when something must change (common/fit.cpp), and what they pin."""


_OPTION = re.compile(r"-{1,2}[A-Za-z][\w-]*")
"""What can only be an option, not a value that begins with a minus."""
_ALIKE = 0.8
"""A build has hundreds of options: something is always a little like a word."""
WRITTEN = ("--fit-target", "--tensor-split", "--n-cpu-moe")
"""With these a build can be told a division that rigtui writes itself."""


def offers(build: Build | None, option: str) -> bool:
    """Whether the build knows an option; an unknown build is taken for a current one."""
    return build is None or not build.options or option in build.options


def unknown_options(asked: Asked | None, build: Build | None) -> tuple[Reason, ...]:
    """A warning where arguments name options that the help of the build they are for does not; none where its options are not known."""
    if asked is None or build is None or not build.options:
        return ()
    unknown = [word for word in dict.fromkeys(asked.passed_over) if _OPTION.fullmatch(word) and word not in build.options]
    if not unknown:
        return ()
    close = nearest(unknown[0], build.options, _ALIKE) if unknown[0].startswith("--") else None
    hint = f"; did you mean {close}?" if close else ""
    return (Reason("unknown_option", f"{build.label} does not know {', '.join(unknown)} and will not start with that{hint}"),)


def server_command(
    model: Model, intent: Intent, candidate: Candidate, build: Build | None, devices: Sequence[str], cache_ram_mib: int
) -> tuple[str, ...]:
    """The whole command but for address and port; the user's own arguments stand last, where the last one wins."""
    settings = candidate.settings
    argv = list(build.argv if build else ("llama-server",))
    argv += ["-m", model.path, "-c", str(settings.context), "-np", str(settings.slots)]
    argv += ["-b", str(settings.batch), "-ub", str(settings.ubatch)]
    if settings.kv_type != ("f16", "f16"):
        argv += ["-ctk", settings.kv_type[0], "-ctv", settings.kv_type[1]]
    if build is None or build.gpu:
        argv += _placement(candidate, build, devices)
    if candidate.in_vram and (build is None or build.gpu):
        # Weights are then read straight into the cards' buffers, which exist a moment after the fit was judged: nobody can take the
        # memory in between. With layers in RAM the file stays mapped instead.
        argv += _first_offered(build, [["--load-mode", "none"], ["--no-mmap"]])
    if cache_ram_mib != DEFAULT_CACHE_RAM_MIB and offers(build, "--cache-ram"):
        argv += ["--cache-ram", str(cache_ram_mib)]
    if build is not None and "--jinja" in build.options and "--no-jinja" not in build.options:
        # Builds that offer the negation have it on by default.
        argv.append("--jinja")
    if intent.use_case.embedding or model.embedding_model:
        argv += _first_offered(build, [["--embeddings"], ["--embedding"]])
    argv += _first_offered(build, [["--metrics"]])
    argv += _first_offered(build, [["-lv", "4"], ["--verbosity", "4"]])
    argv += [] if build is None else _first_offered(build, [["--log-jsonl"]])
    return (*argv, *intent.overrides.engine_args)


def _placement(candidate: Candidate, build: Build | None, devices: Sequence[str]) -> list[str]:
    argv = []
    if devices and offers(build, "--device"):
        argv += ["--device", ",".join(devices)]
    if candidate.settings.split_mode == "none":
        argv += ["--split-mode", "none"]
    if candidate.gpus:
        targets = ",".join(str(target) for target in candidate.settings.fit_target_mib)
        argv += _first_offered(build, [["--fit-target", targets], ["-ngl", "999"]])
    if candidate.written and candidate.settings.tensor_split:
        argv += ["-ts", ",".join(f"{share:g}" for share in candidate.settings.tensor_split)]
    if candidate.written and candidate.settings.experts_in_ram:
        argv += ["-ncmoe", str(candidate.settings.experts_in_ram)]
    return argv


def _first_offered(build: Build | None, spellings: list[list[str]]) -> list[str]:
    """The first spelling the build knows, or nothing."""
    return next((words for words in spellings if offers(build, words[0])), [])


def spawn(plan: Plan, build: Build, host: str, port: int, api_key_file: str | None = None) -> Spawn:
    """The process to start for `plan`: its command with address, name and key file. The key itself never stands in a command."""
    address = ["--host", host, "--port", str(port)]
    if offers(build, "--alias"):
        address += ["--alias", plan.model.name]
    if api_key_file is not None:
        address += ["--api-key-file", api_key_file]
    start = len(build.argv)
    # Before the plan's own arguments, so that the user's stay last.
    argv = (*plan.command[:start], *address, *plan.command[start:])
    return Spawn(
        argv=argv,
        env=plan.env,
        not_inherited=DECIDING,
        host=host,
        port=port,
        model_name=plan.model.name,
        weights_bytes=plan.model.weights_bytes,
    )
