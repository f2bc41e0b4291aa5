"""Random weights: real architectures without their checkpoints, and answers that are never scored."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from transformers import AutoConfig, AutoModelForCausalLM, Qwen2Config

from engines.tiny_models import ask
from support import CHECKOUT
from test_job import folders as job_folders
from test_job import runs
from wattrack.engines.hf import HFEngine
from wattrack.engines.weights import random_weights
from wattrack.engines.weights.architectures import ARCHITECTURES
from wattrack.engines.weights.checkpoint import locate
from wattrack.errors import EngineError

CPU = torch.device("cpu")


def bundled(model_id: str) -> Qwen2Config:
    values = dict(ARCHITECTURES[model_id])
    return AutoConfig.for_model(values.pop("model_type"), **values)


def on_meta(config: Qwen2Config) -> torch.nn.Module:
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)


# Counted by hand from each shape: embeddings (once when tied), q k v with bias, o, three MLP matrices, norms.
PARAMETERS = {
    "qwen0_5b": 494_032_768,
    "qwen1_5b": 1_543_714_304,
    "qwen3b": 3_085_938_688,
    "qwen7b": 7_615_616_512,
    "qwen14b": 14_770_033_664,
    "qwen32b": 32_763_876_352,
}


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_a_bundled_architecture_has_the_published_size(name: str) -> None:
    card = yaml.safe_load((CHECKOUT / "conf" / "model" / f"{name}.yaml").read_text("utf-8"))
    found = sum(p.numel() for p in on_meta(bundled(card["id"])).parameters())
    assert found == PARAMETERS[name]
    # Cards cut digits off (14.77 -> 14.7) and Qwen's says 32.5 for 32.76.
    assert found / 1e9 == pytest.approx(card["params_b"], rel=0.01)


def tiny(**changes: object) -> Qwen2Config:
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    return Qwen2Config(**{**shape, "num_key_value_heads": 2, "vocab_size": 600, "eos_token_id": 590, **changes})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tied", [True, False])
def test_weights_are_finite_seeded_and_made_in_their_dtype(dtype: torch.dtype, tied: bool) -> None:
    def build(seed: int) -> torch.nn.Module:
        return random_weights.build(
            tiny(tie_word_embeddings=tied), dtype=dtype, device=CPU, attention="sdpa", seed=seed
        ).eval()

    model, same, other = build(1), build(1), build(2)
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == tied
    pairs = list(zip(model.parameters(), same.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert any(not torch.equal(a, c) for a, _, c in pairs)
    matrices = torch.cat([p.detach().float().flatten() for p in model.parameters() if p.dim() > 1])
    assert matrices.std() == pytest.approx(0.02, rel=0.05)
    assert model.model.norm.weight.eq(1).all() and model.model.layers[0].self_attn.q_proj.bias.eq(0).all()
    with torch.no_grad():
        assert model(input_ids=torch.tensor([[1, 2, 3]])).logits.isfinite().all()


@pytest.mark.parametrize("tied", [True, False])
def test_the_way_to_quantized_weights_keeps_every_value(tied: bool) -> None:
    """Without a quantizer, which needs CUDA, what comes out is what went in."""
    options = {"dtype": torch.bfloat16, "attention": "sdpa", "seed": 3, "device": CPU}
    wide = random_weights.build(tiny(tie_word_embeddings=tied), **options)
    through = random_weights.build_quantized(tiny(tie_word_embeddings=tied), None, **options)
    pairs = list(zip(wide.named_parameters(), through.named_parameters(), strict=True))
    assert all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def test_a_tensor_larger_than_the_block_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_weights, "_BLOCK", 1000)
    model = random_weights.build(tiny(), dtype=torch.float32, device=CPU, attention=None, seed=0)
    assert all(p.detach().abs().amax() < 1 and p.detach().std() > 0.01 for p in model.parameters() if p.dim() > 1)


def test_the_substitute_tokenizer_loses_no_byte_and_no_id() -> None:
    tokenizer = random_weights.substitute_tokenizer(tiny(bos_token_id=588))
    text = "été 東京 \N{GRINNING FACE} <tag>\n\ttwo  blanks"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(ids) == len(text.encode()) and tokenizer.decode(ids) == text
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id, len(tokenizer)) == (590, 588, 600)
    assert tokenizer.convert_tokens_to_ids("<|im_start|>") == 589
    assert tokenizer.decode([300, 500]) == " w300 w500"
    turns = [{"role": "user", "content": "hi"}]
    assert tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_vocabulary_too_small_for_bytes_is_refused() -> None:
    with pytest.raises(EngineError, match="a vocabulary of 200 is too small"):
        random_weights.substitute_tokenizer(tiny(vocab_size=200))


def test_without_network_the_bundled_values_serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    found = locate("Qwen/Qwen2.5-7B-Instruct", "main", "random")
    assert not found.tokenizer and found.architecture is not None and found.weight_bytes is None
    for weights, model_id in (("pretrained", "Qwen/Qwen2.5-7B-Instruct"), ("random", "Qwen/Unheard-Of")):
        with pytest.raises(EngineError, match="cannot reach the Hugging Face hub"):
            locate(model_id, "main", weights)


def test_a_folder_needs_only_its_config(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((folders["qwen2"] / "config.json").read_text())
    engine = HFEngine(model_id=str(tmp_path), weights="random", threads=1, mode="naive")
    facts = engine.load().params()
    assert (facts["model/weights"], facts["model/tokenizer"]) == ("random", "substitute")
    [response] = engine.generate([ask("Tom has 3 apples")])
    assert response.error is None and response.usage.input_tokens == len("Tom has 3 apples")
    engine.close()
    (tmp_path / "config.json").unlink()
    with pytest.raises(EngineError, match=r"lacks config\.json$"):
        HFEngine(model_id=str(tmp_path), weights="random").check()


def test_its_own_tokenizer_is_used_where_there_is_one(folders: dict[str, Path]) -> None:
    engine = HFEngine(model_id=str(folders["llama"]), weights="random", threads=1)
    assert engine.load().shown["model/tokenizer"] == "own"
    engine.close()


def test_a_run_with_random_weights_is_tagged_and_shows_no_score(
    run_here: Callable[..., int], outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here("model=demo_xs", "model.weights=random", "limit=4", "probe_questions=2") == 0
    (run,) = runs(outputs)
    assert run.data.tags["model.weights"] == "random"
    assert "random weights" in run.info.run_name
    assert "Random weights" in run.data.tags["mlflow.note.content"]
    shown = {name for name in run.data.metrics if name.startswith(("quality/", "running/score"))}
    assert shown == {"quality/n", "quality/error_rate"}
    assert {"throughput/output_tokens_per_s", "memory/weights_gib"} <= set(run.data.metrics)
    (folder,) = job_folders(outputs)
    assert json.loads((folder / "summary.json").read_text("utf-8"))["metrics"].get("quality/score") is None
    assert len((folder / "responses.jsonl").read_text("utf-8").splitlines()) == 4
    assert pd.read_parquet(folder / "records.parquet")["score"].isna().all()
    assert "score 0" not in capsys.readouterr().out
