"""The screen in a browser: nobody without the token, only from this machine's own pages, and read-only unless asked."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from rigtui.cli.main import main, parse
from rigtui.cli.serve_command import screen_options
from rigtui.errors import EXIT_MISSING
from rigtui.web.guard import host_name, same


class Served:
    """A running `rigtui serve` and the address it printed."""

    def __init__(self, *options: str) -> None:
        argv = [sys.executable, "-m", "rigtui", "serve", "--port", "0", *options]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().decode().strip()
        parts = urlsplit(self.address)
        self.base = f"http://127.0.0.1:{parts.port}"
        self.token = parse_qs(parts.query)["token"][0]

    def end(self) -> str:
        """End it; what it said."""
        self.process.terminate()
        _, said = self.process.communicate(timeout=120)
        return said.decode()


@pytest.fixture
def served() -> Iterator[Served]:
    running = Served()
    yield running
    if running.process.poll() is None:
        running.end()


async def status(url: str, **more) -> int:
    async with aiohttp.ClientSession() as session, session.get(url, allow_redirects=False, **more) as response:
        return response.status


async def first_screen(session: aiohttp.ClientSession, base: str, words: bytes) -> bytes:
    """What the screen draws until it says `words`."""
    drawn = b""
    async with session.ws_connect(f"{base.replace('http', 'ws')}/ws?width=100&height=30") as socket, asyncio.timeout(120):
        async for message in socket:
            drawn += message.data if isinstance(message.data, bytes) else b""
            if words in drawn:
                return drawn
    raise AssertionError(f"the screen ended: {drawn[-500:]!r}")


def test_nobody_gets_in_without_the_token_and_nothing_says_it(served: Served) -> None:
    async def knock() -> list[int]:
        token = {"token": served.token}
        return [
            await status(f"{served.base}/"),
            await status(f"{served.base}/?token=guess"),
            await status(f"{served.base}/ws", headers={"Connection": "Upgrade", "Upgrade": "websocket"}),
            await status(f"{served.base}/static/js/textual.js"),
            await status(f"{served.base}/", params=token, headers={"Host": "evil.example:80"}),
            await status(f"{served.base}/ws", params=token, headers={"Origin": "http://evil.example"}),
            await status(f"{served.base}/", cookies={"rigtui_token": "guess"}),
        ]

    assert asyncio.run(knock()) == [403] * 7
    said = served.end()
    assert served.token not in said and "see this rig" in said


def test_with_the_token_the_page_and_its_screen_work_and_the_address_loses_it(served: Served) -> None:
    async def visit() -> tuple[int, str, str, bytes]:
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as session:
            async with session.get(f"{served.base}/", params={"token": served.token}) as response:
                code, landed, page = response.status, str(response.url), await response.text()
            async with session.get(f"{served.base}/static/js/textual.js") as response:
                assert response.status == 200
            return code, landed, page, await first_screen(session, served.base, b"Choices")

    code, landed, page, drawn = asyncio.run(visit())
    assert code == 200 and "token" not in landed and served.token not in page
    assert "https://" not in page.replace("https://github.com", ""), "nothing is asked of other sites"
    assert ".focus()" in page, "keys reach the screen without a click"
    assert b"shows only" in drawn, "read-only unless it was asked for more"
    assert served.token not in served.end()


def test_the_screens_get_the_same_options_and_control_only_when_asked_for() -> None:
    options = ["serve", "--rig", "a b.toml", "--profiles-dir", "/p", "--no-color"]
    assert screen_options(parse(options)) == ["--read-only", "--rig", "a b.toml", "--profiles-dir", "/p", "--no-color"]
    assert screen_options(parse(["serve", "--allow-control"])) == []


def test_without_the_extra_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("rigtui.web.server", "textual_serve", "textual_serve.server"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "textual_serve.server", None)
    assert main(["serve"]) == EXIT_MISSING
    assert "pip install 'rigtui[serve]'" in capsys.readouterr().err


def test_a_taken_port_is_one_sentence(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", str(urlsplit(served.address).port)]) == 1
    assert "choose another with --port" in capsys.readouterr().err


def test_names_and_tokens() -> None:
    assert [host_name(text) for text in ("localhost:8000", "[::1]:8000", "127.0.0.1", "Evil.Example:1", "")] == [
        "localhost",
        "::1",
        "127.0.0.1",
        "evil.example",
        "",
    ]
    assert same("a", "a") and not same(None, "a") and not same("", "a") and not same("ä", "a")
