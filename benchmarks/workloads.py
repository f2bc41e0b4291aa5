"""What both tools are asked: contexts, continuations and prompts from real rows, with fixed few-shots.

A workload is plain data that goes into a JSON file:
    {"kind": "choice", "items": [{"id", "candidates": [[context, continuation], ...]}]}
    {"kind": "generate", "max_new_tokens", "stop", "items": [{"id", "prompt"}]}
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from transformers import PreTrainedTokenizerBase

from wattrack import config, places, wiring
from wattrack.protocols import Row
from wattrack.tasks.rows import find_local, local_rows

MMLU_SUBJECTS = ("astronomy", "marketing")
MMLU_HEADER = "The following are multiple choice questions (with answers) about {}.\n\n"
GENERATED_TOKENS = 128
LETTERS = "ABCDEFGH"

Workload = dict[str, Any]
Block = tuple[str, list[str], int]
"""(text before the answer, every answer with its leading blank, index of the right one)."""


def build(name: str, data: Path, questions: int, tokenizer: PreTrainedTokenizerBase) -> Workload:
    """The workload of that name, from the first rows of its file."""
    workload = BUILDERS[name](data, questions, tokenizer)
    if not workload["items"]:
        raise SystemExit(f"{name}: no questions")
    return workload


def mmlu(data: Path, questions: int, _: PreTrainedTokenizerBase) -> Workload:
    """Equal shares of MMLU_SUBJECTS; five fixed shots from the development rows of the subject; letters."""
    test, shots = _rows(data / "mmlu", "test"), _rows(data / "mmlu", "dev")
    items = []
    for subject in MMLU_SUBJECTS:
        own = [mmlu_block(row) for row in shots if row["subject"] == subject]
        head = MMLU_HEADER.format(subject.replace("_", " ")) + _shots(own[:5])
        asked = [mmlu_block(row) for row in test if row["subject"] == subject]
        items += _items(subject, head, asked[: questions // len(MMLU_SUBJECTS)])
    return {"kind": "choice", "items": items}


def mmlu_block(row: Row) -> Block:
    """Question and lettered choices; the answers are the letters."""
    choices: Sequence[str] = row["choices"]  # type: ignore[assignment]
    lines = [f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices, strict=False)]
    text = "\n".join([str(row["question"]).strip(), *lines, "Answer:"])
    return text, [f" {letter}" for letter in LETTERS[: len(choices)]], int(row["answer"])  # type: ignore[call-overload]


def hellaswag(data: Path, questions: int, _: PreTrainedTokenizerBase) -> Workload:
    """Ten fixed shots; four endings each."""
    shots = [hellaswag_block(row) for row in _rows(data / "hellaswag", "train_fewshot")[:10]]
    asked = [hellaswag_block(row) for row in _rows(data / "hellaswag", "validation")[:questions]]
    return {"kind": "choice", "items": _items("hellaswag", _shots(shots), asked)}


def hellaswag_block(row: Row) -> Block:
    """lm-eval's cleaning and layout."""
    context = _clean(f"{row['activity_label']}: {row['ctx_a']} {str(row['ctx_b']).capitalize()}")
    endings: Sequence[str] = row["endings"]  # type: ignore[assignment]
    return context, [f" {_clean(ending)}" for ending in endings], int(str(row["label"]))


def arc_challenge(data: Path, questions: int, _: PreTrainedTokenizerBase) -> Workload:
    """Twenty-five fixed shots; the texts of three to five choices."""
    shots = [arc_block(row) for row in _rows(data / "arc_challenge", "train")[:25]]
    asked = [arc_block(row) for row in _rows(data / "arc_challenge", "test")[:questions]]
    return {"kind": "choice", "items": _items("arc", _shots(shots), asked)}


def arc_block(row: Row) -> Block:
    """Question and answer texts, no letters."""
    choices: Any = row["choices"]
    right = choices["label"].index(row["answerKey"])
    return f"Question: {row['question']}\nAnswer:", [f" {text}" for text in choices["text"]], right


def gsm8k(data: Path, questions: int, tokenizer: PreTrainedTokenizerBase) -> Workload:
    """Eight fixed worked examples, raw completion, as our task asks it."""
    return _task("base", data, questions, tokenizer)


def gsm8k_chat(data: Path, questions: int, tokenizer: PreTrainedTokenizerBase) -> Workload:
    """No shots, through the chat template, as our task asks it."""
    return _task("chat", data, questions, tokenizer)


def _task(protocol: str, data: Path, questions: int, tokenizer: PreTrainedTokenizerBase) -> Workload:
    cfg = _composed(["dataset=gsm8k", f"dataset.protocol={protocol}", f"dataset.data_dir={data / 'gsm8k'}"])
    task = wiring.build_task(cfg)
    samples, _ = task.samples(questions, 0)
    requests = task.requests(samples, 0, 1)
    items = [{"id": request.sample_id, "prompt": _text(request.prompt, tokenizer)} for request in requests]
    stop = list(requests[0].generation.stop)
    return {"kind": "generate", "max_new_tokens": GENERATED_TOKENS, "stop": stop, "items": items}


def _composed(overrides: list[str]) -> Any:
    config.register()
    OmegaConf.register_new_resolver("wattrack_root", lambda: str(places.root()), replace=True)
    with initialize_config_dir(str(places.conf_dir()), version_base="1.3"):
        return compose("config", overrides=[*overrides, "dataset.order=file"])


def _text(prompt: Any, tokenizer: PreTrainedTokenizerBase) -> str:
    """Both tools get the same finished text; the tokenizer adds nothing to it (checked by the caller)."""
    if isinstance(prompt, str):
        return prompt
    turns = [{"role": message.role, "content": message.content} for message in prompt]
    return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))


def _rows(folder: Path, split: str) -> list[Row]:
    return [row for _, row in local_rows(find_local(folder, split))]


def _shots(blocks: Sequence[Block]) -> str:
    return "".join(f"{text}{answers[right]}\n\n" for text, answers, right in blocks)


def _items(name: str, head: str, asked: Sequence[Block]) -> list[dict[str, Any]]:
    return [
        {"id": f"{name}-{number}", "candidates": [[head + text, answer] for answer in answers]}
        for number, (text, answers, _) in enumerate(asked)
    ]


def _clean(text: str) -> str:
    marks_gone = re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". "))
    return marks_gone.replace("  ", " ")


BUILDERS: dict[str, Callable[[Path, int, PreTrainedTokenizerBase], Workload]] = {
    "mmlu": mmlu,
    "hellaswag": hellaswag,
    "arc_challenge": arc_challenge,
    "gsm8k": gsm8k,
    "gsm8k_chat": gsm8k_chat,
}
