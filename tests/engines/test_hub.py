"""What the hub answers, from a small server that speaks its protocol: each refusal says what to do."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from wattrack.engines.hf import HFEngine
from wattrack.engines.weights import checkpoint, fit
from wattrack.engines.weights.checkpoint import locate
from wattrack.errors import EngineError

SHA = "0123456789abcdef0123456789abcdef01234567"
GIB = 2**30
FILES = {
    "config.json": 700,
    "tokenizer.json": 7000,
    "model.safetensors": 3 * GIB,
    "extra/other.safetensors": 9 * GIB,
}


def info(*, gated: object = False, files: dict[str, int | None] = FILES) -> str:
    """The hub's description of a model."""
    siblings = [{"rfilename": name, "size": size} for name, size in files.items()]
    return json.dumps({"id": "org/model", "sha": SHA, "gated": gated, "siblings": siblings})


class Hub(BaseHTTPRequestHandler):
    """Answers by path: {end of path: (status, error code, body)}."""

    answers: dict[str, tuple[int, str, str]]

    def do_GET(self) -> None:
        """Serve one request."""
        path = self.path.split("?")[0]
        status, code, body = next(
            (a for end, a in self.answers.items() if path.endswith(end)), (404, "RepoNotFound", "")
        )
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args: object) -> None:
        """Stay quiet."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Hub]]:
    """A hub of our own; set `answers` on it."""
    handler = type("Handler", (Hub,), {"answers": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    yield handler
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_model_on_the_hub_is_pinned_to_its_commit(hub: type[Hub]) -> None:
    hub.answers = {"/revision/main": (200, "", info())}
    found = locate("org/model", "main")
    assert (found.source, found.revision, found.local) == ("org/model", SHA, False)
    assert found.weight_bytes == 3 * GIB


SHARDS = {f"model-0000{i}-of-00003.safetensors": i * GIB for i in (1, 2, 3)}
BINS = {"pytorch_model-00001-of-00001.bin": 5 * GIB, "pytorch_model.bin.index.json": 9}


@pytest.mark.parametrize(
    ("files", "gib"),
    [
        ({**SHARDS, "model.safetensors.index.json": 9, "consolidated.safetensors": 6 * GIB}, 6),
        ({**SHARDS, "model.safetensors.index.json": 9, "model.safetensors": 4 * GIB}, 4),
        ({**SHARDS, "model.safetensors.index.json": 9, **BINS, "model.fp16.safetensors": GIB}, 6),
        ({**BINS, "consolidated.safetensors": 6 * GIB, "training_args.bin": GIB}, 5),
        ({**BINS, "pytorch_model.bin": 2 * GIB}, 2),
        ({"model.safetensors.index.json": 9, "weights.safetensors": GIB}, None),  # shards of names of their own
        ({**SHARDS, "model.safetensors.index.json": 9, "model-00004-of-00004.safetensors": None}, None),
    ],
)
def test_only_what_would_be_read_is_counted(hub: type[Hub], files: dict[str, int | None], gib: int | None) -> None:
    hub.answers = {"/revision/main": (200, "", info(files={"config.json": 9, "tokenizer.json": 9, **files}))}
    assert locate("org/model", "main").weight_bytes == (None if gib is None else gib * GIB)


def test_its_size_on_the_hub_counts_against_memory(hub: type[Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "_free_vram_bytes", lambda: None)
    monkeypatch.setattr(fit, "_free_ram_bytes", lambda: 2 * GIB)
    hub.answers = {"/revision/main": (200, "", info())}
    with pytest.raises(EngineError, match=r"org/model needs 3\.0 GiB of RAM .* only 2\.0 GiB are free"):
        HFEngine(model_id="org/model").check()
    hub.answers = {"/revision/main": (200, "", info(files={**FILES, "model.safetensors": None}))}
    HFEngine(model_id="org/model").check()


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({}, "org/model is not on the Hugging Face hub, or is private: check model.id, or set HF_TOKEN"),
        (
            {"/main": (404, "RevisionNotFound", "")},
            "org/model has no revision main on the hub: check model.revision",
        ),
        ({"/main": (403, "GatedRepo", "")}, "org/model is gated: accept its licence at "),
        (
            {"/main": (200, "", info(gated="manual")), "/auth-check": (403, "GatedRepo", "")},
            "org/model is gated: accept its licence at ",
        ),
        ({"/main": (500, "", "")}, "cannot reach the Hugging Face hub for org/model ("),
        (
            {"/main": (200, "", info(files={"README.md": 9}))},
            "org/model on the hub is no transformers checkpoint",
        ),
    ],
    ids=["unknown", "revision", "gated", "gated files", "server error", "no checkpoint"],
)
def test_refusals_say_what_to_do(hub: type[Hub], answers: dict[str, tuple[int, str, str]], message: str) -> None:
    hub.answers = answers
    with pytest.raises(EngineError) as caught:
        locate("org/model", "main")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_gated_model_with_access_passes(hub: type[Hub]) -> None:
    hub.answers = {"/main": (200, "", info(gated="auto")), "/auth-check": (200, "", "{}")}
    assert locate("org/model", "main").revision == SHA


def test_a_network_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answered = threading.Event()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *args, **options: answered.wait(30))
    monkeypatch.setattr(checkpoint, "_HUB_DEADLINE_S", 0.2)
    started_s = time.perf_counter()
    with pytest.raises(EngineError, match=r"cannot reach the Hugging Face hub for org/model \(TimeoutError\)"):
        locate("org/model", "main")
    assert time.perf_counter() - started_s < 10
    answered.set()
