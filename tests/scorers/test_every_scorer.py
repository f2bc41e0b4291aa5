"""Every scorer that a protocol of conf/dataset names, through its task: no text breaks it, and none is out of range."""

import json
import math
import random
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial

import pytest
import yaml

from own_rows import STYLES
from scorers.hostile import GIANTS, hostile_texts
from support import CHECKOUT, Compose, flat_response
from wattrack.metrics.rows import METRICS
from wattrack.metrics.shown import ScorePlot
from wattrack.sandbox.check import Program, Sandbox, Verdict
from wattrack.schema import Response, Sample, Score
from wattrack.settings import build
from wattrack.tasks.task import Task

FUNCTION = {
    "name": "get_weather",
    "description": "Weather.",
    "parameters": {"type": "dict", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
OWN = {
    "bfcl": {"id": "parallel_0", "category": "parallel", "question": [[{"role": "user", "content": "Weather?"}]],
             "function": [FUNCTION], "ground_truth": [{"get_weather": {"city": ["Rome"]}}]},
    "gpqa": {"Question": "What?", "Correct Answer": "1", "Incorrect Answer 1": "2", "Incorrect Answer 2": "3",
             "Incorrect Answer 3": "4", "High-level domain": "Physics"},
    "hellaswag": {"ind": 1, "activity_label": "Cooking", "ctx_a": "A man", "ctx_b": "he", "ctx": "A man he",
                  "endings": ["a", "b", "c", "d"], "source_id": "", "split": "val", "split_type": "", "label": "1"},
    "math": {"problem": "1 + 1?", "solution": "It is $\\boxed{2}$.", "level": "Level 1", "type": "Algebra"},
    "math500": {"problem": "1 + 1?", "solution": "It is $\\boxed{2}$.", "answer": "2", "level": 1,
                "subject": "Algebra", "unique_id": "a"},
    "mbpp": {"task_id": 11, "text": "Halve.", "code": "def half(x):\n    return x / 2", "test_setup_code": "",
             "test_list": ["assert half(2) == 1"], "challenge_test_list": []},
    "mbpp_sanitized": {"task_id": 11, "prompt": "Halve.", "code": "def half(x):\n    return x / 2", "test_imports": [],
                       "test_list": ["assert half(2) == 1"], "source_file": ""},
    "toolllama": {"query_id": "1", "query": "Weather?", "subset": "G1_tool", "available_tools": [FUNCTION]},
    "wattbot": {"id": "q1", "question": "How much?", "answer_value": "[7.5,8]", "answer_unit": "GB",
                "ref_id": "['doe2021']"},
}  # fmt: skip
"""One row for each dataset whose rows do not come with the package and that stands for no style."""
SLOW = {"ifeval": 50, "math": 20, "math500": 20, "json_output": 500}
"""Texts for scorers that take milliseconds each (language detection, value comparison, schemas); test_instructions,
test_structure and the last test here put thousands to them."""
MANY = 10_000
PROTOCOLS = {
    (file.stem, name): protocol
    for file in sorted((CHECKOUT / "conf" / "dataset").glob("*.yaml"))
    for name, protocol in yaml.safe_load(file.read_text("utf-8"))["protocols"].items()
}
CHOICES = [f"wattrack.prompts.choices.{name}" for name in ("Choices", "Letters", "Partial")]
SCORERS = {
    kind: {
        json.dumps(p["scorer"]): pair for pair, p in PROTOCOLS.items() if (p["prompt"]["_target_"] in CHOICES) == kind
    }.values()
    for kind in (True, False)
}
"""One protocol for each scorer with its settings, by whether it compares choices."""


@cache
def texts() -> list[str]:
    return list(hostile_texts(MANY, seed=7))


class NotRun(Sandbox):
    """Programs are found in the texts, and not run: 10,000 processes are for another test."""

    def check(self, program: Program) -> Verdict:
        assert program.tests
        return Verdict(kind="error")


def first_row(name: str) -> Mapping[str, object]:
    for style in STYLES.values():
        if style.dataset == name:
            file, rows = next(iter(style.files.items()))
            return {**rows[0], "part": file.removesuffix(".jsonl")}
    assert name in OWN, f"{name}: add a row of it to OWN"
    return OWN[name]


def built(composed: Compose, name: str, protocol: str) -> tuple[Task, Sample]:
    cfg = composed(f"dataset={name}", f"dataset.protocol={protocol}", "sandbox.allow=true")
    task = build.task(cfg)
    if task.sandbox is not None:
        assert isinstance(task.scorer, partial)
        task = replace(task, scorer=partial(task.scorer, sandbox=NotRun(allow=True)))
    if cfg.dataset.embedded is not None or cfg.dataset.generator is not None:
        (sample, *_), _ = task.samples(5, 0)
        return task, sample
    sample = task.to_sample("q", first_row(name))
    return task, task.prompt.turns(sample)[0] if hasattr(task.prompt, "turns") else sample


def response(text: str, prompt: str = "", logprobs: tuple[float, ...] = ()) -> Response:
    return flat_response(
        sample_id="q", repeat=0, text=text, finish_reason="stop", input_tokens=1, output_tokens=1, prompt_text=prompt,
        logprobs=logprobs,
    )  # fmt: skip


def check_verdict(verdict: Score, headline: str) -> None:
    assert math.isnan(verdict.value) or 0 <= verdict.value <= 1
    assert math.isnan(verdict.value) or headline in verdict.metrics
    for name, value in verdict.metrics.items():
        row = METRICS[f"quality/{name}"]
        assert math.isfinite(value) and 0 <= value <= (1 if row.unit == "1" else math.inf), name
        assert (row.unit == "1") == (row.place(ScorePlot) is not None), f"{name}: a share is a bar of the plot `score`"
    assert verdict.answer is None or isinstance(verdict.answer, str)
    assert isinstance(verdict.explanation, str)


@pytest.mark.parametrize(("name", "protocol"), SCORERS[False])
def test_hostile_texts_have_a_verdict(composed: Compose, name: str, protocol: str) -> None:
    task, sample = built(composed, name, protocol)
    slowest_s = 0.0
    for number, text in enumerate(texts() if name not in SLOW else texts()[-SLOW[name] :]):
        started_s = time.process_time()
        verdict = task.score(sample, response(text, "<think>" if number % 7 == 0 else ""))
        slowest_s = max(slowest_s, time.process_time() - started_s)
        check_verdict(verdict, task.headline)
    assert slowest_s < 3


NUMBERS = (math.nan, math.inf, -math.inf, 0.0, -0.0, -1e-300, -1e300, -1.0, -1.0 - 1e-16, 5.0)


@pytest.mark.parametrize(("name", "protocol"), SCORERS[True])
def test_wild_log_probabilities_have_a_verdict(composed: Compose, name: str, protocol: str) -> None:
    task, sample = built(composed, name, protocol)
    draw = random.Random(7)
    for _ in range(MANY):
        drawn = [draw.choice((draw.choice(NUMBERS), -draw.expovariate(0.1))) for _ in sample.choices]
        check_verdict(task.score(sample, response("", logprobs=tuple(drawn))), task.headline)


@pytest.mark.slow
def test_ten_thousand_hostile_values_are_compared(composed: Compose) -> None:
    task, sample = built(composed, "math500", "chat")
    for text in [*GIANTS, *texts()]:
        check_verdict(task.score(sample, response(f"\\boxed{{{text}}}")), task.headline)
