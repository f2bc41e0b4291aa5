"""Models between jobs: the same weights are not loaded twice, other weights are gone before the next ones come."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from engines.tiny_models import ask
from test_job import runs
from wattrack.engines.hf import HFEngine
from wattrack.engines.weights import kept as module
from wattrack.engines.weights import loading
from wattrack.engines.weights.kept import KEEPER, Keeper, Kept, ModelKey

GIB = 2**30
KEY = ModelKey(
    source="a", revision=None, weights="pretrained", seed=None, dtype="bf16", device="cpu", quantization="none",
    attention="sdpa",
)  # fmt: skip


@pytest.fixture
def keeping() -> Iterator[None]:
    KEEPER.keep = True
    yield
    KEEPER.keep = False
    KEEPER.free_idle()
    KEEPER.left_over_gib = None


def job(folder: Path, **settings: object) -> dict[str, object]:
    """Load, answer once, close; the facts."""
    engine = HFEngine(model_id=str(folder), threads=1, **{"dtype": "fp32", **settings})
    engine.prepare()
    engine.load()
    [response] = engine.generate([ask("Tom has 3 apples")])
    engine_facts = engine.facts()
    facts = {name: value for name, value in engine_facts.params().items()}
    engine.close()
    assert response.error is None
    return {**facts, **engine_facts.metrics(), "text": response.text}


@pytest.mark.usefixtures("keeping")
def test_the_same_weights_are_not_loaded_again(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    first = job(folders["qwen2"])
    monkeypatch.setattr(loading, "_weights", lambda *args: pytest.fail("loaded again"))
    # What does not touch the weights does not matter: batch size, cache, seed, context.
    second = job(folders["qwen2"], batch_size=2, kv_cache="quantized", seed=3, context_length=100)
    assert (first["model/reused"], second["model/reused"]) == (False, True)
    assert first["text"] == job(folders["qwen2"])["text"]
    assert (first["effective/generation"], first["model/params"]) == (
        second["effective/generation"],
        second["model/params"],
    )
    assert second["model/context_length"] == 100 and "memory/kept_gib" in second


@pytest.mark.usefixtures("keeping")
@pytest.mark.parametrize("change", [{"dtype": "bf16"}, {"attention": "eager"}, {"weights": "random"}])
def test_other_weights_are_loaded(folders: dict[str, Path], change: dict[str, object]) -> None:
    job(folders["qwen2"])
    assert job(folders["qwen2"], **change)["model/reused"] is False


@pytest.mark.usefixtures("keeping")
def test_random_weights_depend_on_the_seed(folders: dict[str, Path]) -> None:
    facts = [job(folders["qwen2"], weights="random", seed=seed)["model/reused"] for seed in (1, 1, 2)]
    assert facts == [False, True, False]


@pytest.mark.usefixtures("keeping")
def test_another_model_comes_after_the_first_is_gone(folders: dict[str, Path]) -> None:
    job(folders["qwen2"])
    engine = HFEngine(model_id=str(folders["llama"]), threads=1)
    engine.prepare()
    assert KEEPER._idle is None
    facts = engine.load()
    assert facts.shown["model/reused"] is False
    assert facts.left_over_gib == 0.0
    engine.close()


def test_without_a_next_job_closing_frees(folders: dict[str, Path]) -> None:
    job(folders["qwen2"])
    assert KEEPER._idle is None
    assert job(folders["qwen2"])["model/reused"] is False


def kept(weight_bytes: int, before_bytes: int, device: str = "cpu") -> Kept:
    return Kept(
        key=KEY, model=object(), tokenizer=None, end_ids=(), dropped_defaults="", fallbacks=(),
        device=torch.device(device), weight_bytes=weight_bytes, before_bytes=before_bytes, loaded_bytes=weight_bytes,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("device", "in_use", "left"),
    [
        ("cpu", (9 * GIB, 5 * GIB), 0.0),
        ("cpu", (9 * GIB, 8 * GIB), 3.0),
        ("cuda", (5 * GIB, 1 * GIB + 60 * 2**20), 0.0),
        ("cuda", (5 * GIB, 3 * GIB), 2.0),
    ],
)
def test_memory_that_does_not_come_back_is_said(
    device: str,
    in_use: tuple[int, int],
    left: float,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    readings = list(in_use)
    monkeypatch.setattr(module, "in_use_bytes", lambda device: readings.pop(0))
    monkeypatch.setattr(module, "give_back", lambda device: None)
    keeper = Keeper()
    keeper.keep = True
    keeper.end_of_job(kept(4 * GIB, 1 * GIB, device))
    assert keeper.take(replace(KEY, dtype="fp32")) is None
    assert keeper.left_over_gib == pytest.approx(left)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said == ([f"a was freed, but {left:.2f} GiB of its 4.00 GiB did not come back"] if left else [])


def test_what_was_compiled_is_forgotten_with_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    resets: list[bool] = []
    monkeypatch.setattr("torch.compiler.reset", lambda: resets.append(True))
    plain, compiled = kept(1, 0), kept(1, 0)
    compiled.model = SimpleNamespace(_compiled_call=print)
    for one in (plain, compiled):
        Keeper().end_of_job(one)
    assert resets == [True]


def test_a_sweep_of_two_jobs_loads_its_model_once(run_here: Callable[..., int], outputs: Path) -> None:
    assert run_here("-m", "model=demo_xs", "limit=2,3", "probe_questions=0") == 0
    found = sorted(runs(outputs), key=lambda run: run.info.start_time)
    assert [run.data.params["model/reused"] for run in found] == ["false", "true"]
    assert found[1].data.metrics["memory/kept_gib"] >= 0
    assert (found[0].data.metrics["memory/weights_gib"]) == found[1].data.metrics["memory/weights_gib"]
    assert KEEPER._idle is None
