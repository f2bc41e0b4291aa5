"""Requested against effective settings: what this machine cannot do falls back with a reason."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from engines.tiny_models import ask
from wattrack.engines.hf import HFEngine
from wattrack.engines.weights import effective
from wattrack.errors import EngineError

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="describes a machine without CUDA")


def facts_of(folder: Path, **settings: object) -> dict[str, object]:
    """Facts of a load, after one answer under these settings."""
    engine = HFEngine(model_id=str(folder), threads=1, **{"batch_size": 8, **settings})
    facts = {**(loaded := engine.load()).params(), **loaded.metrics()}
    [response] = engine.generate([ask("Tom has 3 apples")])
    engine.close()
    assert response.error is None and response.usage.output_tokens > 0
    return facts


def test_what_is_possible_is_in_effect(folders: dict[str, Path]) -> None:
    facts = facts_of(folders["qwen2"], dtype="fp32", attention="eager")
    assert facts["effective/dtype"] == facts["preset/dtype"] == "fp32"
    assert facts["effective/attention"] == facts["preset/attention"] == "eager"
    assert (facts["effective/kv_cache"], facts["effective/device"]) == ("dynamic", "cpu")
    assert (facts["effective/threads"], facts["effective/batch_size"]) == (1, 8)
    assert facts["effective/fallbacks"] == "none"
    assert facts["model/class"] == "Qwen2ForCausalLM" and facts["model/context_length"] == 256
    assert facts["model/revision"] is None
    assert facts["effective/generation"] == (
        "checkpoint defaults ignored: do_sample=True, repetition_penalty=1.3, temperature=0.6, top_k=20, top_p=0.8"
    )


def test_parameters_and_bytes_are_those_of_the_model(folders: dict[str, Path]) -> None:
    wide, narrow = (facts_of(folders["qwen2"], dtype=dtype) for dtype in ("fp32", "bf16"))
    hidden, vocabulary = 32, 320
    layer = 2 * hidden * hidden + hidden + 2 * (hidden * 16 + 16) + 3 * hidden * 64 + 2 * hidden
    assert wide["model/params"] == narrow["model/params"] == vocabulary * hidden + 2 * layer + hidden
    assert wide["memory/weights_gib"] == pytest.approx(wide["model/params"] * 4 / 2**30, rel=0.01)
    assert narrow["memory/weights_gib"] == pytest.approx(wide["model/params"] * 2 / 2**30, rel=0.01)
    assert narrow["effective/dtype"] == "bf16"


def test_auto_dtype_on_a_cpu_asks_the_processor(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for native, dtype in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(effective, "cpu_computes_bf16", lambda native=native: native)
        assert facts_of(folders["qwen2"])["effective/dtype"] == dtype


@pytest.mark.parametrize(
    ("requested", "capability", "dtype", "fallbacks"),
    [
        ("auto", (8, 0), torch.bfloat16, []),
        ("bf16", (9, 0), torch.bfloat16, []),
        ("fp32", (7, 5), torch.float32, []),
        ("auto", (7, 5), torch.float16, ["dtype bf16 -> fp16: compute capability (7, 5) is below (8, 0)"]),
        ("bf16", (7, 5), torch.float16, ["dtype bf16 -> fp16: compute capability (7, 5) is below (8, 0)"]),
    ],
)
def test_dtype_on_a_gpu_depends_on_its_generation(
    monkeypatch: pytest.MonkeyPatch,
    requested: str,
    capability: tuple[int, int],
    dtype: torch.dtype,
    fallbacks: list[str],
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: capability)
    reasons: list[str] = []
    assert effective._dtype(requested, torch.bfloat16, torch.device("cuda"), reasons) is dtype
    assert reasons == fallbacks


def test_the_performance_preset_names_what_a_cpu_cannot_do(folders: dict[str, Path]) -> None:
    facts = facts_of(folders["qwen2"], kv_cache="static", attention="flash_attention_2")
    assert (facts["effective/kv_cache"], facts["effective/attention"]) == ("dynamic", "sdpa")
    assert "attention flash_attention_2 -> sdpa: " in str(facts["effective/fallbacks"])
    assert "kv_cache static -> dynamic: no CUDA" in str(facts["effective/fallbacks"])


def test_a_quantized_cache_is_used_where_there_is_a_backend(folders: dict[str, Path]) -> None:
    facts = facts_of(folders["qwen2"], kv_cache="quantized")
    quantized = facts["effective/kv_cache"] == "quantized (fp8)" and facts["effective/fallbacks"] == "none"
    assert quantized or "kv_cache quantized -> dynamic: " in str(facts["effective/fallbacks"])


def test_a_sliding_window_model_cannot_have_a_quantized_cache(folders: dict[str, Path]) -> None:
    facts = facts_of(folders["gemma2"], kv_cache="quantized")
    assert facts["effective/kv_cache"] == "dynamic"
    assert "the model has layers without full attention (sliding_attention)" in str(facts["effective/fallbacks"])


def test_attention_a_model_does_not_offer_falls_back(folders: dict[str, Path]) -> None:
    facts = facts_of(folders["gemma2"], attention="sdpa")
    assert facts["effective/attention"] in ("sdpa", "eager")
    assert (facts["effective/attention"] == "sdpa") == (facts["effective/fallbacks"] == "none")


def test_cuda_without_cuda_is_refused_not_downgraded(folders: dict[str, Path]) -> None:
    with pytest.raises(EngineError, match=r"device=cuda, but PyTorch .* sees no CUDA device: use hardware=cpu"):
        HFEngine(model_id=str(folders["qwen2"]), device="cuda").load()


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_weights_are_not_quantized_on_a_cpu_and_the_reason_is_given(folders: dict[str, Path], bits: str) -> None:
    facts = facts_of(folders["qwen2"], quantization=bits)
    assert (facts["preset/quantization"], facts["effective/quantization"]) == (bits, "none")
    assert f"quantization {bits} -> none: no CUDA" in str(facts["effective/fallbacks"])


def test_quantizing_needs_its_package_and_unquantized_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu, plain = torch.device("cuda"), SimpleNamespace()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "bitsandbytes is not installed (pip install 'wattrack[quantization]')" in str(
        effective._no_quantization(plain, gpu)
    )
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert effective._no_quantization(plain, gpu) is None
    done = SimpleNamespace(quantization_config={"quant_method": "gptq"})
    assert effective._no_quantization(done, gpu) == "the checkpoint is quantized already"


def test_four_bits_are_normal_floats_with_quantized_constants() -> None:
    asked = effective.Effective(device=torch.device("cuda"), dtype=torch.bfloat16, attention=None, quantization="4bit")
    four = effective.quantizer(asked)
    assert (four.load_in_4bit, four.bnb_4bit_quant_type, four.bnb_4bit_use_double_quant) == (True, "nf4", True)
    assert four.bnb_4bit_compute_dtype is torch.bfloat16
    asked.quantization = "8bit"
    assert effective.quantizer(asked).load_in_8bit


def test_a_given_context_length_replaces_the_checkpoint_s(folders: dict[str, Path]) -> None:
    engine = HFEngine(model_id=str(folders["qwen2"]), context_length=16, threads=1)
    assert engine.load().shown["model/context_length"] == 16
    [response] = engine.generate([ask("Tom has 3 apples and buys 14 more.")])
    assert response.error is not None and "exceeds the context of 16 tokens" in response.error
    engine.close()
