"""A few invented rows of every dataset on the hub, in its schema, with what makes a reader stumble."""

from collections.abc import Mapping

from hub_repositories import Configs, Rows

_GSM8K = [
    {"question": "Ann has 2 pens\u2028and buys 3. How many?", "answer": "2 + 3 = <<2+3=5>>5\n#### 5"},
    {"question": 'NA is "1,000" and one more. What is it?', "answer": "#### 1,001"},
]


def _full(number: int) -> dict[str, object]:
    return {
        "task_id": number, "text": f"Write {number}.", "code": f"def f():\r\n  return {number}",
        "test_list": [f"assert f() == {number}", "assert f() != 0"], "test_setup_code": "", "challenge_test_list": [],
    }  # fmt: skip


def _sanitized(number: int) -> dict[str, object]:
    row = {**_full(number), "source_file": "a.ipynb", "prompt": f"Write {number}.", "test_imports": ["import re"]}
    return {k: v for k, v in row.items() if k not in ("text", "test_setup_code", "challenge_test_list")}


_ENDINGS = ["a bed.", "a car.", "an egg.", "a fig [substeps] now."]


def _hellaswag(number: int) -> dict[str, object]:
    return {
        "ind": number, "activity_label": "Baking", "ctx_a": f"[header] Oven {number} [title] Heat", "ctx_b": "she",
        "ctx": f"Oven {number} Heat she", "endings": _ENDINGS, "source_id": "", "split": "val", "split_type": "",
        "label": str(number % 4),
    }  # fmt: skip


def _arc(number: int, labels: str, key: str) -> dict[str, object]:
    texts = [f"thing {number} {label}" for label in labels]
    return {
        "id": f"q{number}",
        "question": f"Which {number}?",
        "choices": {"text": texts, "label": list(labels)},
        "answerKey": key,
    }


def _mmlu(number: int) -> dict[str, object]:
    choices = ["None", "NA", "0", f"{number}"]
    return {"question": f"Which {number}?", "subject": "anatomy", "choices": choices, "answer": number % 4}


def _winogrande(number: int) -> dict[str, object]:
    return {
        "sentence": f"Cup {number} was full because the _ was large.", "option1": "jug", "option2": "cup",
        "answer": str(number % 2 + 1),
    }  # fmt: skip


def _gpqa(number: int) -> dict[str, object]:
    return {
        "Record ID": f"rec{number}", "Question": f"Question {number},\r\nsecond line?", "Correct Answer": "NA",
        "Incorrect Answer 1": "1.50", "Incorrect Answer 2": "null", "Incorrect Answer 3": "None",
        "High-level domain": "Physics", "Validation notes": "",
    }  # fmt: skip


_IFEVAL: Rows = [
    {"key": 1, "prompt": "Say a, then b.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
    {
        "key": 2, "prompt": "Say much.",
        "instruction_id_list": ["length_constraints:number_words", "keywords:existence"],
        "kwargs": [{"num_words": 300, "relation": "at least"}, {"keywords": ["a", "b"]}],
    },
]  # fmt: skip
_MT_BENCH: Rows = [
    {"question_id": 81, "category": "writing", "turns": ["Write.", "Again."], "reference": []},
    {"question_id": 111, "category": "math", "turns": ["1 + 1?", "+ 1?"], "reference": ["2", "3"]},
    {"question_id": 121, "category": "coding", "turns": ["Code.", "More."], "reference": []},
]

INVENTED: Mapping[str, Configs] = {
    "gsm8k": {"main": {"train": _GSM8K[:1], "test": _GSM8K}, "socratic": {"test": _GSM8K[:1]}},
    "humaneval": {
        "openai_humaneval": {
            "test": [
                {
                    "task_id": "HumanEval/0", "prompt": "def one():\n", "canonical_solution": "    return 1\n",
                    "test": "def check(candidate):\n    assert candidate() == 1\n", "entry_point": "one",
                },
            ],
        },
    },
    "mbpp": {
        "full": {
            "test": [_full(n) for n in (11, 12)],
            "prompt": [_full(n) for n in range(1, 5)],
        },
    },
    "mbpp_sanitized": {
        "sanitized": {
            "test": [_sanitized(n) for n in (11, 12)],
            "prompt": [_sanitized(n) for n in range(2, 5)],
        },
    },
    "math500": {
        "default": {
            "test": [
                {
                    "problem": "What is $1+1$?", "solution": "$\\boxed{2}$.", "answer": "2", "subject": "Algebra",
                    "level": 2, "unique_id": "test/a/1.json",
                },
            ],
        },
    },
    "math": {
        part: {
            "test": [
                {
                    "problem": f"What is $1+{n}$? ({part})", "level": "Level 5", "type": "Algebra",
                    "solution": f"$\\boxed{{{1 + n}}}$.",
                }
                for n in range(2)
            ],
        }
        for part in (
            "algebra", "counting_and_probability", "geometry", "intermediate_algebra", "number_theory", "prealgebra",
            "precalculus",
        )
    },
    "hellaswag": {
        "default": {"train": [_hellaswag(n) for n in range(20, 32)], "validation": [_hellaswag(n) for n in range(3)]}
    },
    "winogrande": {
        "winogrande_xl": {
            "train": [_winogrande(n) for n in range(20, 28)], "validation": [_winogrande(n) for n in range(3)],
        },
        "winogrande_xs": {"train": [_winogrande(50)]},
    },
    "arc_challenge": {
        "ARC-Challenge": {
            "train": [_arc(n, "ABCD", "B") for n in range(20, 46)],
            "test": [_arc(1, "1234", "3"), _arc(2, "ABC", "C"), _arc(3, "ABCDE", "E")],
        },
    },
    "mmlu": {"all": {"test": [_mmlu(n) for n in range(3)], "dev": [_mmlu(n) for n in range(10, 15)]}},
    "ifeval": {"default": {"train": _IFEVAL}},
    "gpqa": {"gpqa_diamond": {"train": [_gpqa(n) for n in range(3)]}, "gpqa_main": {"train": [_gpqa(9)]}},
    "mt_bench": {"default": {"train": _MT_BENCH}},
}  # fmt: skip
"""Dataset -> config -> split -> rows. `bbh`, with its 27 configs, is made where it is used."""


def bbh(parts: list[str]) -> Configs:
    """Two rows for each task."""
    return {p: {"test": [{"input": f"{p} {n} is", "target": "False"} for n in range(2)]} for p in parts}
