"""Models that are not there: each refusal is one actionable line, within seconds, without torch."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wattrack.engines.hf import HFEngine
from wattrack.engines.weights import fit
from wattrack.engines.weights.checkpoint import locate
from wattrack.errors import EngineError

MODEL = "Qwen/Qwen2.5-0.5B-Instruct"


@pytest.fixture
def folder(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of a good checkpoint to damage."""
    return Path(shutil.copytree(folders["qwen2"], tmp_path / "model"))


def refusal(model_id: object) -> str:
    """The message `check` refuses with."""
    with pytest.raises(EngineError) as caught:
        HFEngine(model_id=str(model_id)).check()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_complete_folder_passes(folder: Path) -> None:
    found = locate(str(folder), "main")
    assert found.local and found.revision is None and found.dtype == "float32"
    assert found.weight_bytes == (folder / "model.safetensors").stat().st_size


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        (["config.json"], "lacks config.json"),
        (["model.safetensors"], "lacks weights (model.safetensors or pytorch_model.bin"),
        (["tokenizer.json"], "lacks a tokenizer (tokenizer.json"),
    ],
)
def test_a_folder_with_a_part_missing_is_named(folder: Path, gone: list[str], message: str) -> None:
    for name in gone:
        (folder / name).unlink()
    assert message in refusal(folder)


def test_weights_that_lie_there_twice_are_counted_once(folder: Path) -> None:
    size = (folder / "model.safetensors").stat().st_size
    shutil.copy(folder / "model.safetensors", folder / "consolidated.safetensors")
    assert locate(str(folder), "main").weight_bytes == size
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00001.safetensors", "b": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "pytorch_model.bin").write_bytes(b"0")
    assert locate(str(folder), "main").weight_bytes == size


def test_a_missing_shard_is_named(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert refusal(folder).endswith("lacks weight shard model-00002-of-00002.safetensors")


@pytest.mark.parametrize("kept_bytes", [3, 100, -8])
def test_a_truncated_weight_file_is_named(folder: Path, kept_bytes: int) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept_bytes])
    assert "model.safetensors is damaged or truncated" in refusal(folder)


def test_a_broken_config_is_named(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    assert "config.json cannot be read as JSON" in refusal(folder)


@pytest.mark.parametrize("model_id", ["/no/such/folder", "./nothing", "~/nothing/here", "a/b/c"])
def test_a_folder_that_does_not_exist_never_asks_the_hub(model_id: str) -> None:
    assert refusal(model_id).endswith("does not exist: set model.id to a folder or a hub id")


def test_a_name_no_hub_would_take(tmp_path: Path) -> None:
    assert "neither an existing folder nor a valid hub id" in refusal("what is this?")


def test_weights_that_cannot_fit_are_refused_with_both_numbers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "_free_ram_bytes", lambda: 100_000)
    monkeypatch.setattr(fit, "_free_vram_bytes", lambda: None)
    HFEngine(model_id=str(folder), dtype="bf16").check()
    with pytest.raises(EngineError, match=r"needs 0\.0 GiB of RAM for its weights \(fp32\) but only 0\.0 GiB"):
        HFEngine(model_id=str(folder), dtype="fp32").check()


def test_the_dtype_does_not_scale_quantized_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = json.loads((folder / "config.json").read_text())
    quantized = {**config, "quantization_config": {"quant_method": "awq"}, "dtype": "float16"}
    (folder / "config.json").write_text(json.dumps(quantized))
    size = (folder / "model.safetensors").stat().st_size
    monkeypatch.setattr(fit, "_free_vram_bytes", lambda: size)
    HFEngine(model_id=str(folder), dtype="fp32").check()


def test_vram_counts_where_there_is_a_gpu(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "_free_vram_bytes", lambda: 1000)
    assert "of VRAM" in refusal(folder)
    HFEngine(model_id=str(folder), device="cpu").check()


def test_missing_weights_inside_the_file_are_refused_while_loading(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    tensors.pop("model.layers.1.mlp.up_proj.weight")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EngineError, match=r"lacks 1 weights of the model, e\.g\. model\.layers\.1\.mlp\.up_proj"):
        HFEngine(model_id=str(folder), threads=1).load()


def test_what_transformers_cannot_load_is_one_line(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "unheard_of"}))
    with pytest.raises(EngineError, match=f"cannot load {folder}: ValueError") as caught:
        HFEngine(model_id=str(folder), threads=1).load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [{"HF_ENDPOINT": "http://127.0.0.1:9"}, {"HF_HUB_OFFLINE": "1"}],
    ids=["unreachable", "offline"],
)
def test_an_unreachable_hub_is_one_sentence_within_seconds_and_without_torch(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    code = (
        "import sys; from wattrack.engines.hf import HFEngine\n"
        f"try: HFEngine(model_id={MODEL!r}).check()\n"
        "except Exception as e: print(type(e).__name__, e, 'torch' in sys.modules)"
    )
    started_s = time.perf_counter()
    shown = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HF_HOME": str(tmp_path), **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    assert time.perf_counter() - started_s < 15
    assert shown.stdout.startswith(f"EngineError cannot reach the Hugging Face hub for {MODEL} (")
    assert "connect, or set HF_HOME to a filled cache, or model.id=/path/to/folder False" in shown.stdout


def test_a_complete_cache_is_used_without_the_network(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / f"models--{MODEL.replace('/', '--')}"
    shutil.copytree(folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    engine = HFEngine(model_id=MODEL, threads=1)
    assert engine.check().revision == engine.load().revision == commit
    engine.close()
    (repository / "snapshots" / commit / "tokenizer.json").unlink()
    assert refusal(MODEL).startswith("cannot reach the Hugging Face hub")
