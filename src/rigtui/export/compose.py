"""Profiles and their plans as a Docker Compose file. Pure.

The containers are those that llama.cpp and vLLM publish. Each sees the folder of its model, read-only, as /models, and the cards of its
plan; inside it listens on every address, and Docker publishes that on the one of the plan. Compose takes `$` for a variable of its own.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence

from msgspec import Struct

from rigtui.export.exported import CannotSayError, Exported
from rigtui.export.served import LOOPBACK, Served, by_option, distinct, plain, refusing, served, title
from rigtui.export.yaml_text import listed, quoted
from rigtui.planning.plan import Plan
from rigtui.text import clean

WHAT = "a Compose file"
INSIDE = "/models"
FIRST_PORT = 8080
_EVERY = "0.0.0.0"  # noqa: S104 inside the container; what is published is another matter
_HEADING = (
    "# Written by `rigtui export --to compose`. Start it with: docker compose -f FILE up -d",
    "# Needs Docker Compose 2 and, for cards, the NVIDIA Container Toolkit.",
)
_NO_PATHS = {"--api-prefix", "--root-path"}
"""Options whose value begins with a slash and is no path."""


class Mount(Struct, frozen=True):
    """What a container sees of this machine."""

    folder: str
    """Seen as /models."""
    names: tuple[tuple[str, str], ...]
    """Folders of this machine, and what the container calls them."""

    def inside(self, path: str) -> str | None:
        """What the container calls `path`; None when it does not see it."""
        for here, there in self.names:
            if path == here or path.startswith(here.rstrip("/") + "/"):
                return there + path[len(here.rstrip("/")) :]
        return None


def write(entries: Sequence[Exported], mount: Callable[[str], Mount]) -> str:
    """The text of a Compose file with one service per entry. `mount` says what the container of a model at a path sees.

    Raises RigtuiError with the profile and the reason.
    """
    lines, ports = list(_HEADING), dict[str, str]()
    names = distinct(entries, "the file")
    if len(entries) > 1:
        lines.append(f"# Each was planned for free cards: start one at a time, with its name behind `up` ({', '.join(names)}).")
    lines.append("services:")
    for name, entry in zip(names, entries, strict=True):
        with refusing(entry, WHAT):
            one = served(entry, WHAT)
            port = _port(one, ports)
            ports[port] = one.title
            lines += [
                f"  {quoted(name)}:",
                f"    # {plain(one.title)}: {title(one.plan)}",
                *_service(one, mount(one.plan.model.path), port),
            ]
    return "\n".join(lines) + "\n"


def _port(one: Served, taken: dict[str, str]) -> str:
    if one.port is None:
        return next(str(port) for port in range(FIRST_PORT, FIRST_PORT + len(taken) + 1) if str(port) not in taken)
    if not one.port.isdecimal():
        raise CannotSayError(f"`{clean(one.port)}` is no port")
    if one.port in taken:
        raise CannotSayError(f"port {one.port} is taken by {taken[one.port]}")
    return one.port


def _service(one: Served, mount: Mount, port: str) -> list[str]:
    plan = one.plan
    command = one.arguments(_EVERY, str(FIRST_PORT))
    lines = [f"    image: {quoted(_image(plan))}"]
    if plan.engine == "vllm":
        command = (plan.model.path, *command)
        lines += ['    entrypoint: ["vllm", "serve"]', "    ipc: host"]
    groups = by_option(_seen(command, mount))
    lines += ["    command: [", *("      " + " ".join(f"{_text(word)}," for word in group) for group in groups), "    ]"]
    if plan.env:
        lines += ["    environment:", *(f"      - {_text(f'{name}={value}')}" for name, value in sorted(plan.env.items()))]
    return [
        *lines,
        *("    volumes:", "      - type: bind", f"        source: {_text(mount.folder)}", f"        target: {INSIDE}"),
        *("        read_only: true", "        bind: {create_host_path: false}"),
        *("    ports:", f"      - {quoted(f'{_address(one.host)}:{port}:{FIRST_PORT}')}"),
        *_cards(plan),
        "    healthcheck:",
        f'      test: ["CMD", "curl", "-sf", "http://localhost:{FIRST_PORT}/health"]',
        *("      interval: 10s", "      timeout: 5s", "      start_period: 10m  # a load from a slow disk is no failure"),
        '    restart: "on-failure:3"',
    ]


def _image(plan: Plan) -> str:
    if any(device.kind != "cuda" for device in plan.devices):
        raise CannotSayError("it uses devices other than the CUDA cards that the image is built for")
    if plan.engine == "llama.cpp":
        return f"ghcr.io/ggml-org/llama.cpp:{'server-cuda' if plan.devices else 'server'}"
    if not plan.devices:
        raise CannotSayError("vLLM's image needs a card")
    # The options are those of the build that the plan was made for.
    build = plan.engine_build or ""
    return f"vllm/vllm-openai:{'v' + build if re.fullmatch(r'[0-9]+[.][0-9]+[.][0-9]+', build) else 'latest'}"


def _cards(plan: Plan) -> list[str]:
    if not plan.devices:
        return []
    named = [card for card in plan.env.get("CUDA_VISIBLE_DEVICES", "").split(",") if card]
    by_uuid = named and all(card.startswith("GPU-") for card in named)
    which = [" " * 14 + "device_ids:", *listed(named, " " * 16)] if by_uuid else [" " * 14 + "count: all"]
    head = ("    deploy:", "      resources:", "        reservations:", "          devices:", "            - driver: nvidia")
    return [*head, *which, " " * 14 + "capabilities: [gpu]"]


def _address(host: str) -> str:
    """The address that Docker publishes on."""
    try:
        address = ipaddress.ip_address(LOOPBACK if host == "localhost" else host)
    except ValueError:
        raise CannotSayError(f"Docker publishes on an address, not on the name {clean(host)}") from None
    return f"[{address}]" if address.version == 6 else str(address)


def _seen(command: Sequence[str], mount: Mount) -> list[str]:
    """The arguments as they hold in the container: paths as it calls them."""
    found, before = [], ""
    for word in command:
        option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        if value.startswith("/") and (option or before) not in _NO_PATHS:
            inside = mount.inside(value)
            if inside is None:
                raise CannotSayError(f"the container sees {clean(mount.folder)}, and {clean(value)} lies outside; name a folder with both")
            word = f"{option}{equals}{inside}"  # noqa: PLW2901 the word as it is inside
        found.append(word)
        before = word
    return found


def _text(text: str) -> str:
    """A text that Compose reads as it is."""
    return quoted(text.replace("$", "$$"))
