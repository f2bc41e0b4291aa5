"""Rows of our own, in the published schema, for one dataset of each style: written to a folder in any order."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Rows = Sequence[Mapping[str, object]]
COUNT = 8
NAMES = ("Tom", "Ana", "Bo", "Ivy")


@dataclass(frozen=True, kw_only=True)
class Style:
    """A dataset that stands for its style."""

    dataset: str
    files: Mapping[str, Rows]
    """File name -> rows whose order must not matter."""
    fixed: Mapping[str, Rows] | None = None
    """Files of which the first rows are the worked examples."""
    texts: tuple[str, ...] = ("",)
    """What a scripted model may say: some of it right for some row."""
    settings: tuple[str, ...] = ()

    def write(self, folder: Path, order: int = 0) -> Path:
        """Every file, its rows shuffled by `order`; 0 = as they are."""
        folder.mkdir()
        for name, rows in self.files.items():
            shuffled = list(rows)
            if order:
                random.Random(order).shuffle(shuffled)
            _jsonl(folder / name, shuffled)
        for name, rows in (self.fixed or {}).items():
            _jsonl(folder / name, rows)
        if self.dataset == "bbh":
            (folder / "cot_prompts").mkdir()
            for part in BBH:
                (folder / "cot_prompts" / f"{part}.txt").write_text(_bbh_prompt(part), "utf-8")
        return folder


def _jsonl(file: Path, rows: Rows) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def _sum(number: int) -> dict[str, object]:
    name = NAMES[number % 4]
    question = f"{name} has {number} apples and buys 3 more. How many apples does {name} have?"
    return {"question": question, "answer": f"{number} + 3 = {number + 3}\n#### {number + 3}"}


def _arc(number: int) -> dict[str, object]:
    texts = [f"{number + i} apples" * (1 + i) for i in range(3)]
    return {"id": str(number), "question": f"How many apples are {number} + 1?", "answerKey": "ABC"[number % 3],
            "choices": {"text": texts, "label": ["A", "B", "C"]}}  # fmt: skip


def _mmlu(number: int, subject: str) -> dict[str, object]:
    choices = [f"{number + i}" for i in range(4)]
    return {"question": f"How much is {number} + 2?", "subject": subject, "choices": choices, "answer": number % 4}


def _gap(number: int) -> dict[str, object]:
    sentence = f"Ana gave Bo {number} plums because _ was hungry after {number} hours."
    return {"sentence": sentence, "option1": "Ana", "option2": "Bo", "answer": str(1 + number % 2), "qID": str(number)}


def _program(number: int) -> dict[str, object]:
    return {
        "task_id": f"HumanEval/{number}",
        "prompt": f'def add{number}(x):\n    """x + {number}"""\n',
        "canonical_solution": f"    return x + {number}\n",
        "test": f"def check(candidate):\n    assert candidate(1) == {number + 1}\n",
        "entry_point": f"add{number}",
    }


def _instruction(number: int) -> dict[str, object]:
    names = (["punctuation:no_comma"], ["change_case:english_lowercase", "punctuation:no_comma"])[number % 2]
    return {"key": number, "prompt": f"Say {number} things.", "instruction_id_list": names, "kwargs": [{}] * len(names)}


def _bbh_prompt(part: str) -> str:
    shot = f"Q: Is 4 even, asks {part}?\nA: Let's think step by step.\n4 = 2 * 2. So the answer is yes."
    return f"Canary.\n-----\nAbout {part}.\n\n{shot}\n\n{shot.replace('4', '6')}"


def _conversation(number: int) -> dict[str, object]:
    turns = [f"{NAMES[number % 4]} has {number} apples.", "How many apples?"]
    return {"question_id": 81 + number, "category": ("writing", "math", "stem")[number % 3], "turns": turns}


def _bbh(part: str) -> list[dict[str, object]]:
    """Of unequal size, so that proportions matter."""
    count = 3 if part == "navigate" else 5
    return [{"input": f"Is {n} even, asks {part}?", "target": ("yes", "no")[n % 2]} for n in range(count)]


BBH = ("navigate", "snarks")
SUBJECTS = ("anatomy", "sociology")

STYLES = {
    "letters": Style(
        dataset="mmlu",
        files={"test.jsonl": [_mmlu(n, SUBJECTS[n % 3 == 0]) for n in range(COUNT)]},
        fixed={"dev.jsonl": [_mmlu(n, SUBJECTS[n % 2]) for n in range(50, 60)]},
    ),
    "choices": Style(
        dataset="arc_challenge",
        files={"test.jsonl": [_arc(n) for n in range(COUNT)], "train.jsonl": [_arc(n) for n in range(50, 80)]},
        settings=("dataset.protocols.base.prompt.shots.count=3",),
    ),
    "partial": Style(
        dataset="winogrande",
        files={"validation.jsonl": [_gap(n) for n in range(COUNT)], "train_xs.jsonl": [_gap(n) for n in range(50, 70)]},
    ),
    "shots": Style(
        dataset="gsm8k",
        files={"test.jsonl": [_sum(n) for n in range(COUNT)]},
        texts=tuple(f"So it is {n}.\nThe answer is {n}." for n in range(3, 9)),
    ),
    "code": Style(
        dataset="humaneval",
        files={"test.jsonl": [_program(n) for n in range(COUNT)]},
        texts=tuple(f"    return x + {n}\n" for n in range(3)),
        settings=("sandbox.allow=true",),
    ),
    "instructions": Style(
        dataset="ifeval",
        files={"train.jsonl": [_instruction(n) for n in range(COUNT)]},
        texts=("one, two", "one two three four five", "ONE TWO"),
    ),
    "groups": Style(
        dataset="bbh",
        files={f"{part}.jsonl": _bbh(part) for part in BBH},
        texts=("So the answer is yes.", "So the answer is no.", "Hm"),
        settings=(f"dataset.parts=[{','.join(BBH)}]",),
    ),
    "turns": Style(
        dataset="mt_bench",
        files={"question.jsonl": [_conversation(n) for n in range(COUNT)]},
        texts=("Well, 3.", "I cannot say.", ""),
    ),
}
