"""Serves the screen to browsers on this machine: textual-serve behind a token, one screen per page."""

from __future__ import annotations

import re
import secrets
import shlex
import socket
import sys
from collections.abc import Callable, Sequence

from aiohttp import web
from textual_serve.server import Server

from rigtui.errors import RigtuiError
from rigtui.web.guard import guarded

HOST = "127.0.0.1"
_FOREIGN_FONT = re.compile(r"<link[^>]*fonts\.googleapis\.com[^>]*>")
"""textual-serve's page wants a font from another site, which the guard does not allow; the browser's own does as well."""
FOCUS = """<script>
new MutationObserver((_, watch) => {
  if (document.body.classList.contains("-first-byte")) {
    watch.disconnect();
    document.querySelector("#terminal textarea").focus();
  }
}).observe(document.body, { attributes: true });
</script>"""
"""Without it keys go nowhere until the screen is clicked; before its first byte there is nobody to tell of the focus."""
MOST_SCREENS = 8
"""Each is a program of its own that reads the cards."""


class ScreenServer(Server):
    """textual-serve's server (1.1.3) with a guard in front and without a log of addresses, which hold the token."""

    def __init__(self, command: Sequence[str], port: int, token: str) -> None:
        super().__init__(shlex.join(command), host="localhost", port=port, title="rigtui")
        self._token = token
        self._screens = 0

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(guarded(self._token))
        return app

    async def on_startup(self, app: web.Application) -> None:
        """Nothing is said here: the command line prints the address."""

    async def handle_index(self, request: web.Request) -> web.StreamResponse:
        """The page; its addresses are those it was asked for by, which differ behind an SSH tunnel."""
        self.public_url = f"http://{request.host}"
        answer = await super().handle_index(request)
        if isinstance(answer, web.Response) and answer.text is not None:
            answer.text = _FOREIGN_FONT.sub("", answer.text).replace("</body>", f"{FOCUS}</body>")
        return answer

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """One screen."""
        if self._screens >= MOST_SCREENS:
            raise web.HTTPServiceUnavailable(text=f"{MOST_SCREENS} screens are open already; close one\n")
        self._screens += 1
        try:
            return await super().handle_websocket(request)
        finally:
            self._screens -= 1


def screen_command(options: Sequence[str]) -> list[str]:
    """The program behind each page; -P: nothing of the current folder is imported in the place of rigtui's own."""
    return [sys.executable, "-P", "-m", "rigtui", *options]


def serve(options: Sequence[str], port: int, tell: Callable[[str], object]) -> None:
    """Serve the screen with these global options until Ctrl-C; `tell` is given the address with its token.

    Raises RigtuiError when the port is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise RigtuiError(f"port {port} cannot be used: {error.strerror}; choose another with --port") from error
        # 0 asks for any free port.
        port = probe.getsockname()[1]
    token = secrets.token_urlsafe(24)
    server = ScreenServer(screen_command(options), port, token)

    def started(_text: object) -> None:
        tell(f"http://localhost:{port}/?token={token}")

    web.run_app(server._make_app(), host=HOST, port=port, access_log=None, print=started)
