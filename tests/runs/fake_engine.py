"""A stand-in for llama-server whose every step a test decides: it prints a captured log, serves its endpoints, and waits for files."""

import argparse
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--host", required=True)
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--alias")
parser.add_argument("--api-key-file")
parser.add_argument("--log", type=Path, help="what to say while loading")
parser.add_argument("--gate", type=Path, help="loading ends when this file is there")
parser.add_argument("--end", type=Path, help="ends when this file is there, with the status in it; SIGABRT for `abort`")
parser.add_argument("--fail", type=int, help="end with this status instead of serving")
parser.add_argument("--ignore-sigterm", action="store_true")
parser.add_argument("--child", type=Path, help="start a child that ignores SIGTERM and write its pid here")
parser.add_argument("--no-speed", action="store_true", help="refuse completions")
parser.add_argument("--answer", type=Path, help="completions wait for this file")
parser.add_argument("--chatter", type=int, default=0, help="bytes to say without a line end")
args = parser.parse_args()

ready = threading.Event()
TIMINGS = {
    "cache_n": 0, "prompt_n": 11, "prompt_ms": 9.519, "prompt_per_second": 1155.58,
    "predicted_n": 32, "predicted_ms": 3.626, "predicted_per_second": 8549.37,
}  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if ready.is_set():
            self.answer(200, {"status": "ok"})
        else:
            self.answer(503, {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = Path(args.api_key_file).read_text().strip() if args.api_key_file else None
        if key and self.headers.get("Authorization") != f"Bearer {key}":
            self.answer(401, {"error": {"message": "Invalid API Key", "type": "authentication_error", "code": 401}})
        elif self.path == "/tokenize":
            self.answer(200, {"tokens": list(range(len(body["content"].split())))})
        elif self.path == "/completion" and not args.no_speed:
            self.complete(body)
        elif self.path == "/v1/embeddings":
            self.answer(200, {"data": [{"embedding": [0.0]}], "usage": {"prompt_tokens": len(body["input"]), "total_tokens": 1}})
        else:
            self.answer(501, {"error": {"message": "This server does not support it", "type": "not_supported_error", "code": 501}})

    def complete(self, body):
        assert body["stream"] and isinstance(body["prompt"], list)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        if args.answer:
            wait_for(args.answer)
        for part in ({"content": "Hi", "stop": False}, {"content": "", "stop": True, "timings": TIMINGS}):
            self.wfile.write(b"data: " + json.dumps(part).encode() + b"\n\n")

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def wait_for(path):
    while not path.exists():
        time.sleep(0.02)


def finish(*_):
    os._exit(0)


def say(text):
    sys.stderr.write(text)
    sys.stderr.flush()


def end_when_told():
    wait_for(args.end)
    status = args.end.read_text()
    if status == "abort":
        os.kill(os.getpid(), signal.SIGABRT)
    os._exit(int(status))


signal.signal(signal.SIGTERM, signal.SIG_IGN if args.ignore_sigterm else finish)
if args.child:
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(60)
    args.child.write_text(str(pid))
server = ThreadingHTTPServer((args.host, args.port), Handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
if args.end:
    threading.Thread(target=end_when_told, daemon=True).start()
if args.chatter:
    say("x" * args.chatter + "\n")
if args.log:
    sys.stderr.buffer.write(args.log.read_bytes())
    sys.stderr.flush()
if args.fail is not None:
    sys.exit(args.fail)
if args.gate:
    wait_for(args.gate)
ready.set()
say(f"0.00.038.438 I srv  llama_server: listening on http://{args.host}:{args.port}\n")
while True:
    time.sleep(60)
