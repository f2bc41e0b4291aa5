"""What both tools are asked: the requests of our own datasets, real rows in file order, with their fixed few-shots.

A workload is plain data that goes into a JSON file:
    {"kind": "choice", "items": [{"id", "candidates": [[context, continuation], ...]}]}
    {"kind": "generate", "max_new_tokens", "stop", "items": [{"id", "prompt"}]}
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from transformers import PreTrainedTokenizerBase

from wattrack import places
from wattrack.schema import ChoiceRequest, Request
from wattrack.settings import build, config

PROTOCOLS = {
    "mmlu": ("mmlu", "base"),
    "hellaswag": ("hellaswag", "base"),
    "arc_challenge": ("arc_challenge", "base"),
    "gsm8k": ("gsm8k", "base"),
    "gsm8k_chat": ("gsm8k", "chat"),
}
"""Name of the workload -> dataset and protocol: 5, 10, 25 and 8 shots, and none."""
GENERATED_TOKENS = 128
MMLU_SUBJECTS = ("astronomy", "marketing")
"""In equal parts: a whole MMLU has 246 questions on one header, the first rows of a shuffle would have three."""

Workload = dict[str, Any]


def workload(name: str, data: Path, questions: int, tokenizer: PreTrainedTokenizerBase) -> Workload:
    """The workload of that name, from the first rows of its file."""
    requests = _requests(*PROTOCOLS[name], data, questions)
    if len(requests) < questions:
        raise SystemExit(f"{name}: {len(requests)} rows, fewer than {questions}")
    choices = [request for request in requests if isinstance(request, ChoiceRequest)]
    if choices:
        return {"kind": "choice", "items": [_choice(request) for request in choices]}
    texts = [request for request in requests if isinstance(request, Request)]
    items = [{"id": request.sample_id, "prompt": _text(request.prompt, tokenizer)} for request in texts]
    stop = list(texts[0].generation.stop)
    return {"kind": "generate", "max_new_tokens": GENERATED_TOKENS, "stop": stop, "items": items}


def _choice(request: ChoiceRequest) -> dict[str, Any]:
    return {"id": request.sample_id, "candidates": [[c.context, c.continuation] for c in request.candidates]}


def _requests(dataset: str, protocol: str, data: Path, questions: int) -> Sequence[Request | ChoiceRequest]:
    config.register()
    OmegaConf.register_new_resolver("wattrack_root", lambda: str(places.root()), replace=True)
    overrides = [f"dataset={dataset}", f"dataset.protocol={protocol}", f"dataset.data_dir={data / dataset}"]
    with initialize_config_dir(str(places.conf_dir()), version_base="1.3"):
        task = build.task(compose("config", overrides=[*overrides, "dataset.order=file"]))
    if dataset != "mmlu":
        return task.questions(questions, 0, 1).requests
    every = task.questions(None, 0, 1)
    asked = list(zip(every.samples, every.requests, strict=True))
    per_subject = questions // len(MMLU_SUBJECTS)
    return [r for name in MMLU_SUBJECTS for r in [r for s, r in asked if s.group == name][:per_subject]]


def _text(prompt: Any, tokenizer: PreTrainedTokenizerBase) -> str:
    """Both tools get the same finished text; the tokenizer adds nothing to it (checked by the caller)."""
    if isinstance(prompt, str):
        return prompt
    turns = [{"role": message.role, "content": message.content} for message in prompt]
    return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
