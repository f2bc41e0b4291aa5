"""A Hugging Face hub on this machine: enough of its HTTP API for the real `huggingface_hub` and `datasets` clients.

Paths and headers are those that the installed clients ask for: `/api/datasets/ID[/revision/REV]`, `.../tree/REV`,
`.../paths-info/REV` and `/datasets/ID/resolve/REV/PATH` with ETag, X-Repo-Commit and X-Error-Code.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

Files = Mapping[str, bytes]
TOKEN = "hf_of_this_test"
"""Opens gated repositories."""


def commit_of(files: Files) -> str:
    """What the server calls a state of a repository: 40 hex digits over its files."""
    content = sorted((path, hashlib.sha1(data).hexdigest()) for path, data in files.items())
    return hashlib.sha1(json.dumps(content).encode()).hexdigest()


@dataclass
class Repository:
    """Every state pushed, by commit; `main` is the last one."""

    states: dict[str, Files] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    gated: bool = False


@dataclass
class Hub:
    """Repositories of datasets by id, and how the server behaves."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """"METHOD path" of every request."""
    fault: Callable[[str, str], str | None] = lambda method, path: None
    """(method, path) -> None, a status such as "500", "stall" (no answer), or "cut" (half of the body)."""
    stall_s: float = 120.0
    url: str = ""
    released: threading.Event = field(default_factory=threading.Event)

    def push(self, repo_id: str, files: Files, *, gated: bool = False, branch: str = "main") -> str:
        """A new commit with these files and no others; returns its name."""
        repository = self.repositories.setdefault(repo_id, Repository())
        commit = commit_of(files)
        repository.states[commit] = dict(files)
        repository.branches[branch] = commit
        repository.gated = gated
        return commit


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """`hub` on a free port of 127.0.0.1; `hub.url` says where."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        hub.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    cut = False
    wbufsize = -1  # one packet an answer: two of them would wait for each other
    disable_nagle_algorithm = True
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, *args: object) -> None:
        """Stay quiet."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        fault = self.hub.fault(self.command, path)
        if fault == "stall":
            self.hub.released.wait(self.hub.stall_s)
            self.close_connection = True
        elif fault is not None and fault.isdigit():
            self._answer(int(fault), b"the server is ill")
        else:
            self.cut = fault == "cut"
            self._route(path, body)

    def _route(self, path: str, body: str) -> None:
        if path.startswith("/api/datasets/"):
            words = path.removeprefix("/api/datasets/").split("/")
            repo_id, verb, rest = "/".join(words[:2]), words[2] if len(words) > 2 else "revision", words[3:]
        elif path.startswith("/datasets/"):
            words = path.removeprefix("/datasets/").split("/")
            repo_id, verb, rest = "/".join(words[:2]), words[2], words[3:]
        else:
            return self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        repository = self.hub.repositories.get(repo_id)
        if repository is None:
            return self._refuse(404 if self._token() else 401, "RepoNotFound")  # strangers may not know what is there
        # Of a gated repository the description and the list of files are public, their content is not.
        if repository.gated and verb == "resolve" and self._token() != TOKEN:
            return self._refuse(403 if self._token() else 401, "GatedRepo")
        revision = rest[0] if rest else "main"
        commit = repository.branches.get(revision, revision)
        if commit not in repository.states:
            return self._refuse(404, "RevisionNotFound")
        files, inside = repository.states[commit], "/".join(rest[1:])
        if verb == "resolve":
            return self._file(files, inside, commit)
        if verb == "revision":
            return self._json(_info(repo_id, repository, commit, files))
        if verb == "tree":
            return self._tree(files, inside)
        if verb == "paths-info":
            wanted = parse_qs(body).get("paths", []) if not body.startswith("{") else json.loads(body)["paths"]
            return self._json([entry for path in wanted for entry in _entry(files, path.strip("/"))])
        return self._answer(404, b"")

    def _tree(self, files: Files, inside: str) -> None:
        recursive = parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower() in ("true", "1")
        prefix = f"{inside}/" if inside else ""
        below = [path for path in files if path.startswith(prefix)]
        if inside and not below:
            return self._refuse(404, "EntryNotFound")
        folders = {parent for path in below for parent in _parents(path) if parent.startswith(prefix)}
        names = [n for n in sorted([*below, *folders]) if recursive or "/" not in n.removeprefix(prefix)]
        return self._json([entry for name in names for entry in _entry(files, name)])

    def _file(self, files: Files, path: str, commit: str) -> None:
        if path not in files:
            return self._answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        data = files[path]
        headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        first, status = 0, 200
        if asked := self.headers.get("Range"):
            first, status = int(asked.removeprefix("bytes=").split("-")[0]), 206
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        self._answer(status, data[first:], headers)

    def _token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _refuse(self, status: int, code: str) -> None:
        self._answer(status, json.dumps({"error": code}).encode(), {"X-Error-Code": code, "X-Error-Message": code})

    def _json(self, content: object) -> None:
        self._answer(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if self.cut else body)
            self.close_connection = self.close_connection or self.cut


def _info(repo_id: str, repository: Repository, commit: str, files: Files) -> dict[str, object]:
    return {
        "id": repo_id,
        "sha": commit,
        "private": False,
        "gated": "auto" if repository.gated else False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": [{"rfilename": path} for path in sorted(files)],
    }


def _parents(path: str) -> list[str]:
    words = path.split("/")
    return ["/".join(words[:depth]) for depth in range(1, len(words))]


def _entry(files: Files, path: str) -> list[dict[str, object]]:
    if path in files:
        return [{"type": "file", "path": path, "size": len(files[path]), "oid": hashlib.sha1(files[path]).hexdigest()}]
    if any(name.startswith(f"{path}/") for name in files):
        return [{"type": "directory", "path": path, "oid": hashlib.sha1(path.encode()).hexdigest()}]
    return []
