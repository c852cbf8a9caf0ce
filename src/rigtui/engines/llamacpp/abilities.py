"""What a llama.cpp build can do, asked of the build itself once and cached.

The cache is keyed by the build's identity and by whatever changes what it sees: environment, device nodes, the start of the
machine (cards are moved between starts).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from rigtui.engines import probe
from rigtui.engines.answers import Answers, Cache
from rigtui.engines.engine import BuildDevice
from rigtui.errors import RigtuiError
from rigtui.text import MIB

_ANSWER_S = 10.0
# The driver may have to wake every card first, which takes seconds each without a persistence daemon.
_DEVICES_S = 30.0
_MAX_DEVICES = 64
# Environment that changes which devices or libraries a build sees.
_ENVIRONMENT = ("CUDA_", "GGML_", "HIP_", "ROCR_", "LD_", "NVIDIA_", "VK_")
_DEVICE_NODES = re.compile(r"nvidia\d+|nvidiactl|dxg|kfd|dri")

# `--list-devices` (llama.cpp 0.5.0-dev, common/arg.cpp): "  CUDA0: NVIDIA GeForce RTX 4090 (24564 MiB, 23700 MiB free)".
_DEVICE = re.compile(r"^ {2}(?P<device>[^\s:]+): (?P<name>.+) \((?P<total>\d{1,9}) MiB, \d+ MiB free\)$", re.MULTILINE)
# `--version`: "version: 0.5.0-dev (build 1, commit 0c1e570)", before that "version: 6500 (0c1e570)".
_VERSION = re.compile(r"^version: (?P<version>\S.*)$", re.MULTILINE)
# `--help`: every flag of one option stands at the start of its line, comma-separated.
_FLAGS = re.compile(r"^ {0,2}(?P<flags>-{1,2}[A-Za-z][\w-]*(?:,? +-{1,2}[A-Za-z][\w-]*|,-{1,2}[A-Za-z][\w-]*)*)", re.MULTILINE)
_NOT_A_GPU = re.compile(r"CPU|BLAS", re.IGNORECASE)


def parse_devices(text: str) -> tuple[BuildDevice, ...]:
    """The GPUs in the output of `--list-devices`, in its order; without what is free, which is old at once."""
    found = (match for match in _DEVICE.finditer(text) if not _NOT_A_GPU.match(match["device"]))
    devices = (BuildDevice(device=m["device"], name=m["name"].strip(), total_bytes=int(m["total"]) * MIB) for m in found)
    return tuple(devices)[:_MAX_DEVICES]


def parse_version(text: str) -> str | None:
    """The version in the output of `--version`, without its label."""
    match = _VERSION.search(text)
    return match["version"].strip()[:120] if match else None


def parse_options(text: str) -> frozenset[str]:
    """Every flag that the output of `--help` names."""
    return frozenset(flag for line in _FLAGS.finditer(text) for flag in re.split(r"[,\s]+", line["flags"]))


def answers(cache: Cache, identity: tuple[object, ...], argv: tuple[str, ...]) -> Answers:
    """What the build started by `argv` says, asked now if it is not known. Raises RigtuiError when it cannot be used."""
    return cache.answers((identity, *_surroundings()), lambda: _ask(argv))


def _surroundings() -> tuple[object, ...]:
    """What decides which devices a build sees: cards can come and go between starts of the machine."""
    environment = sorted(item for item in os.environ.items() if item[0].startswith(_ENVIRONMENT))
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        nodes = sorted(node.name for node in Path("/dev").iterdir() if _DEVICE_NODES.fullmatch(node.name))
    except OSError:
        boot, nodes = "", []
    return environment, boot, nodes


def _ask(argv: tuple[str, ...]) -> Answers:
    name = argv[0] if len(argv) == 1 else "the embedded engine"
    options = parse_options(probe.ask(name, (*argv, "--help"), _ANSWER_S))
    if not {"--model", "--port"} <= options:
        raise RigtuiError(f"{name} is not a llama-server: its --help names no --model and --port; use another build")
    if "--list-devices" not in options:
        raise RigtuiError(f"{name} is too old: it cannot list its devices (--list-devices); update llama.cpp")
    version = parse_version(probe.ask(name, (*argv, "--version"), _ANSWER_S))
    if version is None:
        raise RigtuiError(f"{name} does not say its version in a way rigtui knows; use a released llama.cpp")
    devices = parse_devices(probe.ask(name, (*argv, "--list-devices"), _DEVICES_S))
    return Answers(version=version, options=options, devices=devices)
