"""What an engine's program is started with, and asking it one question from its command line, with bounds on time and output."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Collection, Mapping
from typing import IO

from rigtui.errors import RigtuiError
from rigtui.text import clean

MAX_OUTPUT_BYTES = 1 << 20


def environment(own: Mapping[str, str], without: Collection[str] = ()) -> dict[str, str]:
    """rigtui's own environment but for the variables `without`, with `own` on top of it."""
    return {name: value for name, value in os.environ.items() if name not in without} | dict(own)


def ask(name: str, argv: tuple[str, ...], timeout_s: float, env: Mapping[str, str] | None = None) -> str:
    """The output (both streams, each line cleaned) of `argv`, run with GPUs numbered in PCI order and `env` on top of the environment.

    Raises RigtuiError, with `name` in its sentence, when it cannot start, does not end in time, fails or is killed.
    """
    import subprocess

    question = argv[-1]
    variables = environment({"CUDA_DEVICE_ORDER": "PCI_BUS_ID"} | dict(env or {}))
    try:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=variables, start_new_session=True
        )
    except OSError as error:
        raise RigtuiError(f"{name} cannot be started: {error.strerror or error}") from error
    deadline = time.monotonic() + timeout_s
    assert process.stdout is not None
    status = None
    with process.stdout as stream:
        try:
            data = _read(stream, deadline)
            if data is not None:
                status = process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            status = None
        finally:
            # The whole group: a wrapper script may have started others.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if data is None or status is None:
        raise RigtuiError(
            f"{name} did not answer {question} within {timeout_s:.0f} seconds; use another build, or run it by hand to see why"
        )
    text = "\n".join(clean(line) for line in data.decode("utf-8", "replace").split("\n"))
    if status != 0:
        raise RigtuiError(f"{name} failed at {question} ({_ending(status)}){_last_line(text)}")
    return text


def _read(stream: IO[bytes], deadline: float) -> bytes | None:
    """Everything up to the end of `stream`; None when it does not end in time or says more than any answer is long."""
    import selectors

    data = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while len(data) <= MAX_OUTPUT_BYTES:
            if not selector.select(max(deadline - time.monotonic(), 0)):
                return None
            part = os.read(stream.fileno(), 1 << 16)
            if not part:
                return bytes(data)
            data += part
    return None


def _ending(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f": {lines[-1][:200]}" if lines else ""
