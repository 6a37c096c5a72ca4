"""A stand-in for the hub's HTTP interface: one repository from a folder, and ways to fail."""

import json
import threading
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "a" * 40


class Hub(ThreadingHTTPServer):
    """Serves `folder` as the model `owner/model`, at its branch main and its commit.

    log: (method, path, Range header) of every request. gated: files need a token. breaks: file →
    bytes after which the connection breaks, once.
    """

    daemon_threads = True

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.log = folder, []
        self.gated, self.breaks = False, {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def log_message(self, *args):
        pass

    def answer(self, with_body: bool):
        hub, path = self.server, self.path.partition("?")[0].replace("%2F", "/")
        hub.log.append((self.command, path, self.headers.get("Range")))
        if "owner/model" not in path:
            return self.fail(404, "RepoNotFound")
        if path.startswith("/api/models/"):
            _, tree, revision = path.partition("/tree/")
            revision = revision or path.partition("/revision/")[2] or "main"
            if revision not in ("main", COMMIT):
                return self.fail(404, "RevisionNotFound")
            return self.json(self.tree() if tree else self.info())
        revision, _, name = path.partition("/resolve/")[2].partition("/")
        if revision not in ("main", COMMIT):
            return self.fail(404, "RevisionNotFound")
        if hub.gated and not self.headers.get("Authorization"):
            return self.fail(401, "GatedRepo")
        if not (hub.folder / name).is_file():
            return self.fail(404, "EntryNotFound")
        return self.file(name, (hub.folder / name).read_bytes(), with_body)

    def info(self) -> dict:
        names = sorted(p.name for p in self.server.folder.iterdir())
        found = {"id": "owner/model", "modelId": "owner/model", "sha": COMMIT, "private": False}
        return found | {"siblings": [{"rfilename": n} for n in names], "tags": [], "downloads": 0}

    def tree(self) -> list[dict]:
        contents = {p.name: p.read_bytes() for p in sorted(self.server.folder.iterdir())}
        return [
            {"type": "file", "path": n, "size": len(c), "oid": sha256(c).hexdigest()}
            for n, c in contents.items()
        ]

    def json(self, found: dict | list):
        self.send(200, json.dumps(found).encode(), {"Content-Type": "application/json"})

    def file(self, name: str, content: bytes, with_body: bool):
        headers = {"ETag": f'"{sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        headers["Accept-Ranges"] = "bytes"
        start, code = 0, 200
        if with_body and (wanted := self.headers.get("Range")):
            start, code = int(wanted.removeprefix("bytes=").partition("-")[0]), 206
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        cut = self.server.breaks.pop(name, None) if with_body else None
        return self.send(code, content[start:], headers, with_body=with_body, cut=cut)

    def fail(self, code: int, kind: str):
        headers = {"X-Error-Code": kind, "X-Error-Message": f"{kind} at the stand-in"}
        return self.send(code, b"", headers)

    def send(self, code: int, body: bytes, headers: dict, *, with_body=True, cut=None):
        self.send_response(code)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body[:cut])
        if cut is not None:
            self.wfile.flush()
            self.connection.shutdown(2)
            self.close_connection = True


@contextmanager
def serving(folder: Path):
    """A running `Hub`."""
    hub = Hub(folder)
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
