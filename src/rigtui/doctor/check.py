"""The values of a check-up."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

CheckStatus = Literal["ok", "warn", "fail", "unknown"]

WORDS: dict[str, str] = {"ok": "ok", "warn": "warning", "fail": "FAILED", "unknown": "unknown"}
"""A status, for people."""


class Check(Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    id: str
    status: CheckStatus
    text: str
    """What was found, and why it matters when it is not well."""
    mend: str | None = None
    """The command that mends it."""


class ContainerFacts(Struct, frozen=True, kw_only=True):
    """Docker and NVIDIA's container toolkit; None: not there, or it does not say."""

    client: str | None = None
    """Version of the `docker` program."""
    server: str | None = None
    """Version of the daemon that answers it."""
    problem: str | None = None
    """What the client says when no daemon answers."""
    nvidia_runtime: bool | None = None
    """The daemon knows the runtime `nvidia`."""
    toolkit: str | None = None
    """Version of nvidia-ctk."""
    cdi: bool = False
    """There is a CDI specification of the NVIDIA devices."""


class OllamaFacts(Struct, frozen=True, kw_only=True):
    """The Ollama that is here."""

    version: str | None
    running: bool


class Facts(Struct, frozen=True, kw_only=True):
    """What the machine said about things outside the rig reading; None where it could not be read."""

    free_disk_bytes: int | None
    state_dir: str
    writable: bool
    unwritable: str | None = None
    """The folder that stands in the way: the nearest one that exists."""
    port_free: bool | None
    """Whether llama-server's usual port is free on 127.0.0.1."""
    systemd: bool | None
    """systemd is the first process (services and lingering work)."""
    lingering: bool | None
    """This user's processes may outlive the last login."""
    kill_user_processes: bool | None
    """logind kills what a user left running at logout."""
    cuda_device_order: str | None
    nvidia_device: bool
    """The kernel shows an NVIDIA card (or WSL's GPU device), whether or not the driver can be talked to."""
    containers: ContainerFacts = ContainerFacts()
    ollama: OllamaFacts | None = None
    cuda_runtimes: dict[str, int] = {}
    """Per engine (its label) the major version of the CUDA runtime that it was built with, where that can be told."""
    blocked_folders: tuple[str, ...] = ()
    """Folders for settings, results and caches that cannot be written, by what exists of them."""
    blocked_devices: tuple[str, ...] = ()
    """The driver's device files that this user may not open."""
    config_problem: str | None = None
    """Why config.toml cannot be followed, one sentence."""
    problems: tuple[str, ...] = ()
    """Other files of the user's that cannot be used, one sentence each."""
