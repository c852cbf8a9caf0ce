"""Who may see the screen in a browser: whoever has the token, from this machine's own pages. Pure but for aiohttp's types.

textual-serve has no authentication of its own: one program per websocket, for everyone who connects.
"""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

COOKIE = "rigtui_token"
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
HEADERS = {
    # Everything the page needs comes from here; nothing tells other sites of it.
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' data: blob:; connect-src 'self' ws:",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",
}


def same(given: str | None, token: str) -> bool:
    """Whether it is the token; how long the comparison takes tells nothing."""
    return given is not None and hmac.compare_digest(given.encode(), token.encode())


def host_name(netloc: str) -> str:
    """The name in `name:port` or `[address]:port`."""
    return urlsplit(f"//{netloc}").hostname or ""


def refusal(request: web.Request, token: str) -> str | None:
    """Why a request is refused, one sentence; None: it may pass."""
    if host_name(request.host) not in LOCAL_NAMES:
        # A name of somebody else's that leads here: a page of theirs could then read ours.
        return "this page answers at localhost alone; over SSH use: ssh -L 8000:localhost:8000"
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        return "this page is not for other pages"
    if not (same(request.query.get("token"), token) or same(request.cookies.get(COOKIE), token)):
        return "the token is missing or wrong; rigtui serve printed the address with it"
    return None


def guarded(token: str) -> Middleware:
    """A middleware that lets pass only who has `token`, and moves it from the address into a cookie."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        reason = refusal(request, token)
        if reason is not None:
            return web.Response(status=403, text=f"{reason}\n", headers=HEADERS)
        if request.path == "/" and "token" in request.query:
            # The address stays in histories; a cookie that only this site gets does not.
            response = web.HTTPSeeOther("/", headers=HEADERS)
            response.set_cookie(COOKIE, token, httponly=True, samesite="Strict", path="/")
            return response
        answer = await handler(request)
        if not answer.prepared:
            answer.headers.update(HEADERS)
        return answer

    return guard
