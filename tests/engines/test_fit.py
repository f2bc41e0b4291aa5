"""Predicted bytes against free ones: exact weights, keys and values by formula, refusals that say what would fit."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from engines.test_random_weights import bundled, on_meta
from engines.tiny_models import CONFIGS, SHAPE, ask
from test_job import runs
from wattrack.engines.hf import HFEngine
from wattrack.engines.weights import fit, prediction
from wattrack.engines.weights.architectures import ARCHITECTURES
from wattrack.engines.weights.effective import Effective
from wattrack.engines.weights.fit import GIB, Fit, Shape, Work, kv_bytes_per_token, need
from wattrack.engines.weights.loaded import read_for_a_token
from wattrack.errors import EngineError
from wattrack.schema import Candidate, ChoiceRequest, Generation, Message, Request

QWEN7B = Shape(
    weight_bytes=15_231_233_024,
    kv_bytes_per_token=57_344,
    activation_bytes_per_token=90_112,
    logits_bytes_per_row=152_064 * 6,
)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        # Measured on real caches: 131072 and 12288 bytes in bf16.
        ({"num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096}, 131_072),
        ({"num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2, "hidden_size": 896}, 12_288),
        ({"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64}, 512),
        ({"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64, "head_dim": 32}, 1024),
        ({"layer_types": ["linear_attention", "full_attention"]}, 256),
        ({"layer_types": ["sliding_attention", "full_attention"]}, 512),
        ({"num_hidden_layers": 4, "num_kv_shared_layers": 3}, 256),
    ],
)
def test_keys_and_values_of_one_token(config: dict[str, object], expected: int) -> None:
    small = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64}
    assert kv_bytes_per_token(SimpleNamespace(**{**small, **config}), 2) == expected


def test_the_formula_counts_what_a_real_cache_holds(folders: dict[str, Path]) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folders["llama"], dtype=torch.float32)
    with torch.no_grad():
        cache = model(input_ids=torch.ones(3, 7, dtype=torch.long), use_cache=True).past_key_values
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert held == 3 * 7 * kv_bytes_per_token(model.config, 4)


@pytest.mark.parametrize("kind", ["qwen2", "llama", "gemma2"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_predicted_weights_are_the_loaded_ones(folders: dict[str, Path], kind: str, dtype: str) -> None:
    engine = HFEngine(model_id=str(folders[kind]), dtype=dtype, threads=1)
    engine.prepare()
    assert engine._fit is not None
    assert engine._fit.shape.weight_bytes / GIB == pytest.approx(engine.load().weights_gib)
    engine.close()


def test_quantized_linear_layers_shrink_and_the_rest_does_not() -> None:
    config = bundled("Qwen/Qwen2.5-7B-Instruct")
    model = on_meta(config)
    sizes = {q: prediction.shape(model, config, torch.bfloat16, q).weight_bytes for q in ("none", "8bit", "4bit")}
    linear = 28 * (2 * 3584 * 3584 + 2 * 3584 * 512 + 3 * 3584 * 18944)
    assert sizes["none"] == pytest.approx(QWEN7B.weight_bytes, rel=1e-6)  # and a few kilobytes of buffers
    assert sizes["none"] - sizes["8bit"] == linear
    assert sizes["none"] - sizes["4bit"] == int(linear * (2 - 0.516))


def test_bundled_shapes_follow_the_formulas() -> None:
    config = bundled("Qwen/Qwen2.5-7B-Instruct")
    found = prediction.shape(on_meta(config), config, torch.bfloat16, "none")
    assert replace(found, weight_bytes=QWEN7B.weight_bytes) == QWEN7B


def test_need_is_a_sum_with_the_cpu_counted_thrice() -> None:
    work = Work(rows=8, prompt_tokens=1000, new_tokens=500, packed=False)
    gpu, cpu = need(QWEN7B, work, "cuda"), need(QWEN7B, work, "cpu")
    assert gpu.kv == 8 * 1500 * 57_344 and cpu.kv == 3 * gpu.kv
    logits = 8 * QWEN7B.logits_bytes_per_row
    assert gpu.activations == 8 * 1000 * 90_112 + logits and cpu.activations == 3 * 8 * 1000 * 90_112 + logits
    assert gpu.total == gpu.weights + gpu.kv + gpu.activations + gpu.context and cpu.context == 0
    packed = need(QWEN7B, replace(work, packed=True, shared_tokens=900), "cuda")
    assert packed.kv == (900 + 8 * 600) * 57_344
    assert packed.activations == (900 + 8 * 100) * 90_112 + logits


def fitting(free_gib: float, rows: int = 64, small: Shape | None = None) -> Fit:
    return Fit(
        model_id="org/model",
        device="cuda",
        precision="bf16",
        shape=QWEN7B,
        work=Work(rows=rows, prompt_tokens=1500, new_tokens=500),
        free=int(free_gib * GIB),
        used=0,
        small=small,
    )


def test_what_fits_is_not_refused_and_unknown_memory_is_no_reason(caplog: pytest.LogCaptureFixture) -> None:
    fitting(80).refuse(64)
    fitting(17.5).refuse(None)
    replace(fitting(0), free=None).refuse(64)
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        fitting(16).refuse(None)
    assert "org/model fits tightly: 14.2 GiB weights + 0.1 KV cache" in caplog.text


# By hand: 18 GiB - weights - a pass of 8192 tokens x 90112 - 0.6 GiB leave 23.47 rows of 2000 x 57344 + logits;
# 14.9 GiB - weights - 0.6 GiB - logits leave 829.8 tokens of 57344 + 90112.
@pytest.mark.parametrize(
    ("free_gib", "rows", "small", "offered"),
    [
        (18, 64, None, "preset.batch_size=23"),
        (12, 64, replace(QWEN7B, weight_bytes=5 * GIB), "preset=memory_optimized"),
        (14.9, 1, None, "texts of 829 tokens in all (a shorter prompt, a smaller max_new_tokens)"),
        (8, 64, None, "nothing of it: take a smaller model or a larger machine"),
    ],
)
def test_a_refusal_has_the_numbers_and_what_would_fit(
    free_gib: float, rows: int, small: Shape | None, offered: str
) -> None:
    with pytest.raises(EngineError) as caught:
        fitting(free_gib, rows, small).refuse(rows)
    text = str(caught.value)
    assert text.startswith("org/model does not fit: 14.2 GiB weights + ")
    assert f"GiB of VRAM (bf16, {rows} row" in text and f"of 2000 tokens), {free_gib:.1f} GiB free; " in text
    assert text.endswith(f"would fit: {offered}") and "\n" not in text


def test_what_a_refusal_offers_does_fit() -> None:
    fitting(18).refuse(23)
    with pytest.raises(EngineError):
        fitting(18).refuse(24)


def test_a_32b_model_is_refused_before_a_byte_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(fit, "_free_ram_bytes", lambda: 20 * GIB)
    engine = HFEngine(model_id="Qwen/Qwen2.5-32B-Instruct", weights="random", dtype="bf16", device="cpu")
    with pytest.raises(EngineError, match=r"does not fit: 61\.0 GiB weights .* 20\.0 GiB free; would fit: nothing"):
        engine.prepare([ask("Tom has 3 apples")])


def predicted(method: str, device: str, stored_bytes: int | None) -> Fit:
    """Of Qwen2.5-7B, quantized by its publisher, with 11.5 GiB free."""
    config = bundled("Qwen/Qwen2.5-7B-Instruct")
    config.quantization_config = {"quant_method": method}
    settings = HFEngine(model_id="org/quantized")._settings
    effective = Effective(device=torch.device(device), dtype=torch.bfloat16, attention=None)
    found = prediction.predict(settings, config, effective, words, [ask("Tom has")], stored_bytes)
    return replace(found, free=int(11.5 * GIB))


@pytest.mark.parametrize("method", ["awq", "gptq", "fp8", "bitsandbytes"])
def test_a_quantized_checkpoint_takes_what_it_has_on_disk(method: str) -> None:
    found = predicted(method, "cuda", 5 * GIB)
    found.refuse(None)
    assert found.shape.weight_bytes == 5 * GIB and found.precision == f"bf16 and {method}" and found.small is None
    with pytest.raises(EngineError, match=r"does not fit: 14\.2 GiB weights"):
        predicted(method, "cuda", None).refuse(None)


def test_what_is_widened_on_a_cpu_counts_as_wide() -> None:
    wide = pytest.approx(QWEN7B.weight_bytes, rel=1e-6)
    assert [predicted(m, "cpu", 5 * GIB).shape.weight_bytes for m in ("awq", "fp8", "mxfp4")] == [5 * GIB, wide, wide]


def words(text: str, **options: object) -> dict[str, Sequence[int]]:
    return {"input_ids": list(range(len(text.split())))}


def test_the_longest_prompt_and_the_common_beginning_are_counted() -> None:
    generation = Generation(max_new_tokens=9)
    chat = Request(
        sample_id="a", repeat=0, prompt=(Message(role="user", content="b b c d e"),), generation=generation, seed=0
    )
    work = prediction._work([ask("b b c"), chat], words)
    assert (work.rows, work.prompt_tokens, work.new_tokens, work.shared_tokens) == (2, 5 + 32, 12, 3)
    candidates = (Candidate(context="x y", continuation=" z"), Candidate(context="x y", continuation=" w w"))
    choice = prediction._work([ChoiceRequest(sample_id="c", repeat=0, candidates=candidates)], words)
    assert (choice.rows, choice.prompt_tokens, choice.new_tokens, choice.shared_tokens) == (2, 4 + 32, 0, 2)
    called = replace(chat, tools=({"name": "f" * 50},))
    assert prediction._work([called], words).prompt_tokens > prediction._work([chat], words).prompt_tokens
    exact = replace(ask("b b c"), prompt_tokens=700)
    assert prediction._work([exact], words).prompt_tokens == 700
    assert prediction._work([], words).rows == 1


def test_free_memory_is_bounded_by_every_control_group(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for folder, most, used in (
        (tmp_path, "max", 9),
        (tmp_path / "slice", "1000", 400),
        (tmp_path / "slice/job", "900", 100),
    ):
        folder.mkdir(exist_ok=True)
        (folder / "memory.max").write_text(f"{most}\n")
        (folder / "memory.current").write_text(f"{used}\n")
        (folder / "memory.stat").write_text("anon 5\ninactive_file 50\n")
    assert fit._cgroup_branch(tmp_path, "slice/job", "memory.max", "memory.current", "inactive_file") == [850, 650]


def test_a_gpu_s_free_memory_comes_from_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wattrack.monitors.nvml.free_memory_bytes", lambda visible: 7 if visible == "0" else None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert fit.free_bytes("cuda") == fit.free_bytes("cuda:0") == 7
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert fit.free_bytes("cuda") is None


def test_prediction_and_its_error_are_logged(run_here: Callable[..., int], outputs: Path) -> None:
    assert run_here("model=demo_xs", "limit=4", "probe_questions=0") == 0
    (run,) = runs(outputs)
    metrics = run.data.metrics
    predicted, peak = metrics["memory/rss_predicted_gib"], metrics["memory/rss_peak_gib"]
    assert metrics["memory/prediction_error_percent"] == pytest.approx(100 * (predicted - peak) / peak, abs=0.1)


def test_a_job_that_does_not_fit_fails_with_the_numbers(
    run_here: Callable[..., int], outputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fit, "_free_ram_bytes", lambda: 3 * 2**20)
    monkeypatch.setattr(fit, "_free_vram_bytes", lambda: None)
    assert run_here("model=demo_s", "limit=4", "preset.batch_size=4") == 1
    said = capsys.readouterr().err
    assert "does not fit: " in said and "would fit: " in said
    (run,) = runs(outputs)
    assert run.info.status == "FAILED"


def test_every_bundled_architecture_has_a_shape() -> None:
    for model_id in ARCHITECTURES:
        config = bundled(model_id)
        assert isinstance(config, type(AutoConfig.for_model("qwen2")))
        assert prediction.shape(on_meta(config), config, torch.bfloat16, "none").kv_bytes_per_token > 0


@pytest.mark.parametrize("kind", ["llama", "qwen2", "mixtral", "gpt2"])
def test_a_token_reads_the_layers_and_the_output_layer_but_no_table(kind: str) -> None:
    model = AutoModelForCausalLM.from_config(CONFIGS[kind](), dtype=torch.bfloat16)
    read_bytes, layer_params = read_for_a_token(model)
    table = SHAPE["vocab_size"] * SHAPE["hidden_size"]
    assert read_bytes == 2 * (layer_params + table)
    every = sum(w.numel() for w in model.parameters())
    left_out = {
        "llama": 2 * table,  # its tables are two
        "qwen2": table,  # and its one
        "mixtral": 2 * table + sum(w.numel() for n, w in model.named_parameters() if ".experts." in n),
        "gpt2": table + 256 * SHAPE["hidden_size"],  # and that of positions
    }
    assert layer_params == every - left_out[kind]
    assert layer_params > 0
