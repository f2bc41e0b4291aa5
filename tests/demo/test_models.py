"""The shipped models: plain Hugging Face folders, small, lossless in their text, and better with size."""

import signal
import subprocess
import sys
import time
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from wattrack.demo import problems, train

PARAMETERS = {
    "demo_xs": (80_000, 130_000),
    "demo_s": (250_000, 400_000),
    "demo_m": (750_000, 1_000_000),
    "demo_l": (2_200_000, 2_800_000),
}
MOST_BYTES = 12_000_000
SCORED_ROWS = 42


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(train.MODELS / "demo_s")


@pytest.mark.parametrize("name", train.SIZES)
def test_a_model_loads_with_the_plain_auto_classes(name: str) -> None:
    config = AutoConfig.from_pretrained(train.MODELS / name)
    model = AutoModelForCausalLM.from_pretrained(train.MODELS / name)
    low, high = PARAMETERS[name]
    assert low <= model.num_parameters() <= high
    assert (config.model_type, config.max_position_embeddings) == ("qwen2", 8192)
    assert config.tie_word_embeddings
    assert model.dtype == torch.bfloat16
    assert not model.generation_config.do_sample


@pytest.mark.parametrize("name", train.SIZES)
def test_special_tokens_agree_everywhere(name: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(train.MODELS / name)
    config = AutoConfig.from_pretrained(train.MODELS / name)
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert (config.eos_token_id, config.pad_token_id) == (tokenizer.eos_token_id, tokenizer.pad_token_id)
    assert len(tokenizer) <= config.vocab_size


def test_all_models_together_stay_small() -> None:
    assert sum(path.stat().st_size for path in train.MODELS.rglob("*") if path.is_file()) <= MOST_BYTES


# The categories leave out what this Python does not know, whose normal form may differ between libraries.
@given(text=st.text(st.characters(exclude_categories=["Cs", "Cn"])))
def test_tokenizer_loses_nothing(tokenizer: Any, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize("text", ["año 2024, 7½ €", "日本語 👩‍🚀\r\n\t x", "\u00e9 ﬁ  ", "a ,b . c 's"])
def test_tokenizer_loses_no_known_hard_text(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@given(number=st.integers(min_value=0))
def test_every_digit_is_one_token(tokenizer: Any, number: int) -> None:
    assert tokenizer.tokenize(str(number)) == list(str(number))


def test_chat_template_adds_nothing() -> None:
    tokenizer = AutoTokenizer.from_pretrained(train.MODELS / "demo_l")
    turns = [("system", "s"), ("user", "u"), ("assistant", "a"), ("user", "v")]
    chat = [{"role": role, "content": content} for role, content in turns]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    said = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in turns)
    assert text == said + "<|im_start|>assistant\n"
    assert tokenizer.apply_chat_template(chat[1:2], tokenize=False) == "<|im_start|>user\nu<|im_end|>\n"


def test_training_targets_are_the_answers_alone(tokenizer: Any) -> None:
    rows = problems.generate(problems.TRAINING_SEED, train.BATCH, exclude=problems.evaluation_questions())
    wanted = {row["answer"] + train.TURN_END for row in rows}
    found = set()
    for _, targets in train.micro_batches(tokenizer, 0, problems.evaluation_questions()):
        found |= {tokenizer.decode(line[line != -100]) for line in targets}
    assert found == wanted


def test_questions_are_short(tokenizer: Any) -> None:
    questions = [row["question"] for row in problems.evaluation_rows()]
    assert max(len(ids) for ids in tokenizer(questions)["input_ids"]) < 120


@pytest.mark.parametrize(("text", "number"), [("a\n#### 12", "12"), ("#### 1\n#### 2", "2"), ("12", None)])
def test_final_number(text: str, number: str | None) -> None:
    assert train.final_number(text) == number


def test_large_beats_extra_small() -> None:
    rows = list(problems.evaluation_rows())[:SCORED_ROWS]
    small, large = (train.accuracy(train.MODELS / name, rows, torch.float32) for name in ("demo_xs", "demo_l"))
    assert large > small + 0.25


def start(folder: Path, options: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "wattrack.demo.train",
        "--sizes",
        "demo_xs",
        "--steps",
        "8",
        "--no-score",
    ]
    places = ["--checkpoint-steps", "2", "--out", str(folder / "out"), "--work", str(folder / "work")]
    return subprocess.Popen([*command, *places, *options])


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_weights(tmp_path: Path) -> None:
    killed = start(tmp_path / "killed")
    checkpoint = tmp_path / "killed" / "work" / "demo_xs.pt"
    deadline = time.monotonic() + 300
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert 0 < torch.load(checkpoint, weights_only=True)["step"] < 8
    assert start(tmp_path / "killed").wait() == 0
    assert start(tmp_path / "whole").wait() == 0
    resumed, whole = (
        load_file(tmp_path / name / "out" / "demo_xs" / "model.safetensors") for name in ("killed", "whole")
    )
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(resumed[key], whole[key]) for key in whole)
