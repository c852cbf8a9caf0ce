"""A small hub on this machine that speaks the Hugging Face hub's protocol: search, file lists, files by byte ranges."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlparse

REVISION = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Repositories are folders `owner/repo` below `root`; what was asked for is kept."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ranges: list[tuple[str, str]] = []
        self.tokens: set[str] = set()
        self.broken: dict[str, bytes] = {}
        """Answers to API paths that begin so, instead of the real ones."""
        self.status: dict[str, int] = {}
        """Status instead of an answer, by repository."""
        self.endpoint = ""

    def repositories(self, query: str) -> list[str]:
        names = [str(path.relative_to(self.root)) for path in self.root.glob("*/*") if path.is_dir()]
        return sorted(name for name in names if query.lower() in name.lower())

    def info(self, repository: str) -> dict[str, object]:
        folder = self.root / repository
        names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        siblings = [{"rfilename": name, "size": (folder / name).stat().st_size, "blobId": "b"} for name in names]
        return {
            "_id": "1",
            "id": repository,
            "modelId": repository,
            "sha": REVISION,
            "gated": False,
            "private": False,
            "siblings": siblings,
        }


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            where = urlparse(self.path)
            path = unquote(where.path)
            hub.tokens.add(self.headers.get("Authorization", ""))
            broken = next((body for start, body in hub.broken.items() if path.startswith(start)), None)
            if broken is not None:
                return self.answer(200, broken)
            if path == "/api/models":
                query = parse_qs(where.query).get("search", [""])[0]
                return self.answer(200, json.dumps([hub.info(name) for name in hub.repositories(query)]).encode())
            if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/[^/]+)?", path):
                return self.repository(match[1])
            if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
                return self.file(match[1], match[2])
            return self.answer(404, b"{}")

        def repository(self, name: str) -> None:
            if name in hub.status:
                return self.answer(hub.status[name], b"{}")
            if not (hub.root / name).is_dir():
                return self.answer(404, b'{"error":"Repository not found"}', {"X-Error-Code": "RepoNotFound"})
            return self.answer(200, json.dumps(hub.info(name)).encode())

        def file(self, repository: str, name: str) -> None:
            path = hub.root / repository / name
            wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            if not path.is_file() or wanted is None:
                return self.answer(404, b"")
            hub.ranges.append((name, self.headers["Range"]))
            size = path.stat().st_size
            start, end = int(wanted[1]), min(int(wanted[2]), size - 1)
            with path.open("rb") as stream:
                stream.seek(start)
                data = stream.read(end - start + 1)
            return self.answer(206, data, {"Content-Range": f"bytes {start}-{end}/{size}"})

        def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


@contextlib.contextmanager
def serving(root: Path) -> Iterator[Hub]:
    """A hub of what lies below `root`."""
    hub = Hub(root)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
