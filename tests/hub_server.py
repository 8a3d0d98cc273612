"""A hub of one's own on localhost: the paths of the hub's HTTP API that recipes go through."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Files = dict[str, bytes]


@dataclass
class Hub:
    """Repository -> commits, oldest first; ``requests`` are method and path of each."""

    repositories: dict[str, list[tuple[str, Files]]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    address: str = ""

    def commit(self, repository: str, files: Files) -> str:
        """Put a new state of a repository; returns the commit."""
        said = json.dumps({n: hashlib.sha256(d).hexdigest() for n, d in sorted(files.items())})
        commits = self.repositories.setdefault(repository, [])
        sha = hashlib.sha1(f"{len(commits)}{said}".encode()).hexdigest()
        commits.append((sha, dict(files)))
        return sha

    def at(self, repository: str, revision: str) -> tuple[str, Files] | None:
        commits = self.repositories.get(repository) or []
        if revision == "main":
            return commits[-1] if commits else None
        return next((entry for entry in commits if entry[0] == revision), None)


@contextlib.contextmanager
def hub_server() -> Iterator[Hub]:
    """Serve until the end of the block; HF_ENDPOINT is ``Hub.address``."""
    hub = Hub()

    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *words: Any) -> None:
        """Nothing on stderr."""

    def do_HEAD(self) -> None:
        self._get(body=False)

    def do_GET(self) -> None:
        self._get(body=True)

    def do_POST(self) -> None:
        path = self.path.split("?")[0]
        self.state.requests.append(f"POST {path}")
        raw = self._body()
        if path == "/api/repos/create":
            asked = json.loads(raw)
            name = f"{asked['organization']}/{asked['name']}"
            self.state.repositories.setdefault(name, [])
            return self._json({"url": f"{self.state.address}/{name}", "name": name, "id": name})
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main", path)
        if found and found[2] == "preupload":
            asked = json.loads(raw)["files"]
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in asked
            ]
            return self._json({"files": files})
        if found:
            stored = dict((self.state.at(found[1], "main") or ("", {}))[1])
            for line in raw.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    value = entry["value"]
                    stored[value["path"]] = base64.b64decode(value["content"])
            sha = self.state.commit(found[1], stored)
            address = f"{self.state.address}/{found[1]}/commit/{sha}"
            return self._json({"success": True, "commitOid": sha, "commitUrl": address})
        return self._json({"error": "not found"}, 404)

    def _get(self, body: bool) -> None:
        path = self.path.split("?")[0]
        self.state.requests.append(f"{self.command} {path}")
        info = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path)
        if info:
            found = self.state.at(info[1], info[3] or "main")
            if found is None:
                return self._absent(info[1])
            if info[2] == "tree":
                return self._json([
                    {"type": "file", "path": n, "size": len(d), "oid": hashlib.sha1(d).hexdigest()}
                    for n, d in found[1].items()
                ])  # fmt: skip
            siblings = [{"rfilename": n, "size": len(d)} for n, d in found[1].items()]
            return self._json({"id": info[1], "sha": found[0], "siblings": siblings,
                               "private": False, "tags": [], "downloads": 0})  # fmt: skip
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        found = self.state.at(file[1], file[2]) if file else None
        if file is None or found is None or file[3] not in found[1]:
            return self._absent(file[1] if file else "")
        data = found[1][file[3]]
        self.send_response(200)
        self.send_header("X-Repo-Commit", found[0])
        self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
        self._end(data, body)

    def _absent(self, repository: str) -> None:
        known = repository in self.state.repositories
        code = "RevisionNotFound" if known else "RepoNotFound"
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self._end(b'{"error": "not found"}', True)

    def _json(self, value: Any, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self._end(json.dumps(value).encode(), True)

    def _end(self, data: bytes, body: bool) -> None:
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body and self.command != "HEAD":
            self.wfile.write(data)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data
