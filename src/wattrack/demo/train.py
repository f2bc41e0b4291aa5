"""The trainer of the demo ladder: run as a module it rebuilds tokenizer, models and their scores.

CPU only, deterministic and resumable: the rows of step k depend on nothing but the seed and k, so a killed
run continues from its last checkpoint with the same weights it would have had.
On a busy machine set OMP_WAIT_POLICY=PASSIVE, or the two threads spend their time waiting for each other.
"""

import argparse
import json
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2Tokenizer,
)

from wattrack.demo.problems import TRAINING_SEED, evaluation_questions, evaluation_rows, generate
from wattrack.intervals import wilson

MODELS = Path(__file__).with_name("models")
END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
VOCABULARY = 512
TOKENIZER_ROWS = 5_000
BATCH = 64
MICRO_BATCHES = 2
"""Rows of a step are sorted by length and split, so that little is computed on padding."""
WARMUP_STEPS = 40
CHECKPOINT_STEPS = 100
MAX_NEW_TOKENS = 256
CONTEXT = 8192
THREADS = 2

WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
"""Qwen2's split: every digit is a piece of its own."""

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""ChatML as Qwen writes it, without Qwen's default system message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Shape and schedule of one model."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    steps: int


SIZES = {
    "demo_xs": Size(hidden=64, layers=2, heads=4, kv_heads=2, intermediate=128, steps=600),
    "demo_s": Size(hidden=96, layers=3, heads=6, kv_heads=2, intermediate=224, steps=550),
    "demo_m": Size(hidden=128, layers=4, heads=4, kv_heads=2, intermediate=384, steps=700),
    "demo_l": Size(hidden=192, layers=6, heads=6, kv_heads=2, intermediate=512, steps=800),
}


def build_tokenizer() -> Any:
    """Qwen2's tokenizer with merges of our own text: byte-level BPE, lossless for text in Unicode form NFC.

    It has to be Qwen2's class: `AutoTokenizer` takes that one for every Qwen2 model, whatever was saved.
    """
    core = Tokenizer(models.BPE())
    core.normalizer = normalizers.NFC()
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_OF_TEXT, TURN_START, TURN_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rows = generate(TRAINING_SEED, TOKENIZER_ROWS, exclude=evaluation_questions())
    texts = ("user\n" + r["question"] + "\nassistant\n" + r["answer"] for r in rows)
    core.train_from_iterator(texts, trainer)
    learned = json.loads(core.to_str())["model"]
    merges: Any = [tuple(pair) for pair in learned["merges"]]
    return Qwen2Tokenizer(
        vocab=learned["vocab"],
        merges=merges,
        eos_token=TURN_END,
        pad_token=END_OF_TEXT,
        additional_special_tokens=[TURN_START],
        chat_template=CHAT_TEMPLATE,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def build_model(size: Size, tokenizer: Any) -> Any:
    """An untrained Qwen2 of this size, always with the same weights."""
    torch.manual_seed(TRAINING_SEED)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.kv_heads,
        intermediate_size=size.intermediate,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen2ForCausalLM(config)


def prompts(tokenizer: Any, questions: Sequence[str]) -> list[str]:
    """The text the model sees before it answers, as every engine renders it."""
    chats = [[{"role": "user", "content": question}] for question in questions]
    rendered: list[str] = tokenizer.apply_chat_template(chats, add_generation_prompt=True, tokenize=False)
    return rendered


def micro_batches(tokenizer: Any, step: int, exclude: frozenset[str]) -> Iterator[tuple[Tensor, Tensor]]:
    """(inputs, targets) of one step; both (rows, tokens), targets -100 outside the answer."""
    rows = generate(TRAINING_SEED, BATCH, step * BATCH, exclude)
    asked = tokenizer(prompts(tokenizer, [r["question"] for r in rows]))["input_ids"]
    answered = tokenizer([r["answer"] + TURN_END for r in rows])["input_ids"]
    pairs = sorted(zip(asked, answered, strict=True), key=lambda pair: len(pair[0]) + len(pair[1]))
    share = BATCH // MICRO_BATCHES
    for begin in range(0, BATCH, share):
        part = pairs[begin : begin + share]
        width = max(len(a) + len(b) for a, b in part)
        tokens = torch.full((len(part), width), tokenizer.pad_token_id)
        targets = torch.full((len(part), width), -100)
        for i, (a, b) in enumerate(part):
            tokens[i, : len(a) + len(b)] = torch.tensor(a + b)
            targets[i, len(a) : len(a) + len(b)] = torch.tensor(b)
        yield tokens[:, :-1], targets[:, 1:]


def loss_sum(model: Any, tokens: Tensor, targets: Tensor) -> Tensor:
    """Summed cross-entropy of the answer tokens; padding on the right needs no attention mask."""
    hidden = model.model(input_ids=tokens, use_cache=False).last_hidden_state  # (rows, tokens, hidden)
    answer = targets != -100
    return functional.cross_entropy(model.lm_head(hidden[answer]), targets[answer], reduction="sum")


def optimizers(model: nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, AdamW for the rest."""
    inner = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [
        torch.optim.Muon(inner, lr=0.02, weight_decay=0.01, momentum=0.95),
        torch.optim.AdamW(rest, lr=4e-3, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate(step: int, steps: int) -> float:
    """Share of the full learning rate: linear warm-up, then linear decay to zero."""
    return min((step + 1) / WARMUP_STEPS, (steps - step) / max(1, steps - WARMUP_STEPS), 1.0)


class Training:
    """One model in training, with its optimizers, step counter and minutes, restored from its checkpoint."""

    def __init__(self, name: str, size: Size, tokenizer: Any, work: Path) -> None:
        self.name, self.steps, self.tokenizer = name, size.steps, tokenizer
        self.model = build_model(size, tokenizer)
        self.optimizers = optimizers(self.model)
        self.base_rates = [o.param_groups[0]["lr"] for o in self.optimizers]
        self.exclude = evaluation_questions()
        self.checkpoint = work / f"{name}.pt"
        self.step = 0
        self.minutes = 0.0
        if self.checkpoint.exists():
            self._restore()

    def run(self, checkpoint_steps: int) -> None:
        """Train to the last step, checkpointing on the way."""
        while self.step < self.steps:
            started = time.perf_counter()
            loss = self._advance()
            self.minutes += (time.perf_counter() - started) / 60
            if self.step % 20 == 0:
                done = f"{self.name} step {self.step}/{self.steps}"
                print(f"{done} loss {loss:.4f} {self.minutes:.2f} min", flush=True)
            if self.step % checkpoint_steps == 0 or self.step == self.steps:
                self._save()

    def _advance(self) -> float:
        """One optimizer step; the mean loss per answer token."""
        batches = list(micro_batches(self.tokenizer, self.step, self.exclude))
        answer_tokens = sum(int((targets != -100).sum()) for _, targets in batches)
        total = 0.0
        for tokens, targets in batches:
            loss = loss_sum(self.model, tokens, targets) / answer_tokens
            torch.autograd.backward(loss)
            total += loss.item()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer, base in zip(self.optimizers, self.base_rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = base * rate(self.step, self.steps)
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        return total

    def _save(self) -> None:
        """Write beside and rename, so that a kill never leaves half a checkpoint."""
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.checkpoint.with_suffix(".new")
        torch.save(
            {
                "steps": self.steps,
                "step": self.step,
                "minutes": self.minutes,
                "model": self.model.state_dict(),
                "optimizers": [o.state_dict() for o in self.optimizers],
            },
            fresh,
        )
        fresh.replace(self.checkpoint)

    def _restore(self) -> None:
        saved = torch.load(self.checkpoint, weights_only=True)
        if saved["steps"] != self.steps:
            raise SystemExit(f"{self.checkpoint} is of a run of {saved['steps']} steps; delete it first")
        self.step, self.minutes = saved["step"], saved["minutes"]
        self.model.load_state_dict(saved["model"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """A plain Hugging Face folder with bfloat16 weights."""
    shutil.rmtree(folder, ignore_errors=True)
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False, max_new_tokens=MAX_NEW_TOKENS, **ends
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@torch.inference_mode()
def answers(folder: Path, questions: Sequence[str], dtype: torch.dtype, batch: int = 100) -> list[str]:
    """Greedy answers of a saved model, in the order of the questions."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    model.eval()
    order = sorted(range(len(questions)), key=lambda i: len(questions[i]))
    found = [""] * len(questions)
    for begin in range(0, len(order), batch):
        part = order[begin : begin + batch]
        texts = prompts(tokenizer, [questions[i] for i in part])
        inputs = tokenizer(texts, padding=True, padding_side="left", return_tensors="pt")
        written = model.generate(**inputs, do_sample=False, max_new_tokens=MAX_NEW_TOKENS)
        new = written[:, inputs["input_ids"].shape[1] :]
        for i, text in zip(part, tokenizer.batch_decode(new, skip_special_tokens=True), strict=True):
            found[i] = text
    return found


def final_number(text: str) -> str | None:
    """What follows the last "####"."""
    found = re.findall(r"#### (-?\d+)", text)
    return found[-1] if found else None


def accuracy(folder: Path, rows: Sequence[dict[str, str]], dtype: torch.dtype) -> float:
    """Share of the rows whose final number is right."""
    texts = answers(folder, [r["question"] for r in rows], dtype)
    right = [final_number(t) == final_number(r["answer"]) for t, r in zip(texts, rows, strict=True)]
    return sum(right) / len(rows)


def report(name: str, training: Training, folder: Path) -> str:
    """One line with everything the models' README states."""
    rows = list(evaluation_rows())
    scores = {}
    for dtype in (torch.float32, torch.bfloat16):
        score = accuracy(folder, rows, dtype)
        low, high = wilson(score, len(rows))
        scores[str(dtype).removeprefix("torch.")] = f"{score:.4f} [{low:.4f}, {high:.4f}]"
    facts = {
        "parameters": training.model.num_parameters(),
        "steps": training.step,
        "minutes": round(training.minutes, 1),
        **scores,
    }
    return f"{name} {json.dumps(facts)}"


def main() -> None:
    """Train, save and score the chosen sizes."""
    parser = argparse.ArgumentParser(description="Retrain the demo ladder on the CPU.")
    parser.add_argument("--sizes", default=",".join(SIZES), help="comma-separated")
    parser.add_argument("--out", type=Path, default=MODELS, help="one folder per size is written here")
    parser.add_argument("--work", type=Path, default=Path("multirun/demo"), help="checkpoints")
    parser.add_argument("--steps", type=int, help="instead of each size's own number of steps")
    parser.add_argument("--checkpoint-steps", type=int, default=CHECKPOINT_STEPS)
    parser.add_argument("--no-score", action="store_true", help="only train and save")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    tokenizer = build_tokenizer()
    lines = []
    for name in options.sizes.split(","):
        size = replace(SIZES[name], steps=options.steps or SIZES[name].steps)
        training = Training(name, size, tokenizer, options.work)
        training.run(options.checkpoint_steps)
        save_model(training.model, tokenizer, options.out / name)
        if not options.no_score:
            lines.append(report(name, training, options.out / name))
            print(lines[-1], flush=True)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
