"""A port for the engine to listen on."""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection

from rigtui.errors import RigtuiError

FIRST_PORT = 8080
_TRIED = 200


def choose_port(host: str, wanted: int | None, taken: Collection[int]) -> int:
    """`wanted` when it is free, or the next free one from 8080 on; `taken` are those of runs that may not listen yet.

    Raises RigtuiError when the wanted one is in use, or nothing can listen on `host`.
    """
    if wanted is not None:
        if wanted in taken or not is_free(host, wanted):
            who = "by another run of rigtui (rigtui ps)" if wanted in taken else "by another program"
            raise RigtuiError(f"port {wanted} is in use {who}; choose another one with --port, or leave it out for the next free one")
        return wanted
    for port in range(FIRST_PORT, FIRST_PORT + _TRIED):
        if port not in taken and is_free(host, port):
            return port
    raise RigtuiError(f"no port from {FIRST_PORT} to {FIRST_PORT + _TRIED - 1} is free on {host}; choose one with --port")


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now. Raises RigtuiError when `host` is no address of this machine."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind, protocol) as probe:
            # With this a port that only has old connections in TIME_WAIT counts as free, as it does for llama-server.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            return False
        raise RigtuiError(f"nothing can listen on {host}: {error.strerror or error}; choose another address with --host") from error
    return True
