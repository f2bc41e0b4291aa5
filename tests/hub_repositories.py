"""Repositories as the hub publishes them: file names, card and column types of each dataset with a `hub_id`.

Seen on the pages of the hub: the lists of files and the cards of openai/gsm8k, openai/openai_humaneval,
google-research-datasets/mbpp, HuggingFaceH4/MATH-500, Rowan/hellaswag, allenai/winogrande, allenai/ai2_arc,
hails/mmlu_no_train (for the types of cais/mmlu), google/IFEval, SaylorTwift/bbh, EleutherAI/hendrycks_math and
lighteval/mt-bench; of Idavidrein/gpqa, which is gated, those of copies (Wanfq/gpqa). Rows are the caller's.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

Rows = Sequence[Mapping[str, object]]
Configs = Mapping[str, Mapping[str, Rows]]
"""Config -> split -> rows."""

_LABEL = {"dtype": {"class_label": {"names": {"0": "A", "1": "B", "2": "C", "3": "D"}}}}
_TEXTS = {"sequence": "string"}
_COLUMNS: Mapping[str, Mapping[str, object]] = {
    "gsm8k": {"question": "string", "answer": "string"},
    "humaneval": dict.fromkeys(("task_id", "prompt", "canonical_solution", "test", "entry_point"), "string"),
    "mbpp": {
        "task_id": "int32", "text": "string", "code": "string", "test_list": _TEXTS, "test_setup_code": "string",
        "challenge_test_list": _TEXTS,
    },
    "mbpp_sanitized": {
        "source_file": "string", "task_id": "int32", "prompt": "string", "code": "string", "test_imports": _TEXTS,
        "test_list": _TEXTS,
    },
    "hellaswag": {
        "ind": "int32", "activity_label": "string", "ctx_a": "string", "ctx_b": "string", "ctx": "string",
        "endings": _TEXTS, "source_id": "string", "split": "string", "split_type": "string", "label": "string",
    },
    "winogrande": dict.fromkeys(("sentence", "option1", "option2", "answer"), "string"),
    "arc_challenge": {
        "id": "string", "question": "string",
        "choices": {"sequence": [{"name": "text", "dtype": "string"}, {"name": "label", "dtype": "string"}]},
        "answerKey": "string",
    },
    "mmlu": {"question": "string", "subject": "string", "choices": _TEXTS, "answer": _LABEL},
    "bbh": {"input": "string", "target": "string"},
    "math": dict.fromkeys(("problem", "level", "type", "solution"), "string"),
    "mt_bench": {"question_id": "int64", "category": "string", "turns": _TEXTS, "reference": _TEXTS},
}  # fmt: skip
_FOLDERS = {"hellaswag": "data", "mt_bench": "data"}
"""Where the only config has no folder of its own name."""


def repository(dataset: str, configs: Configs) -> dict[str, bytes]:
    """The files of a dataset's repository with these rows in it; several datasets may share one."""
    if dataset == "ifeval":
        return {"README.md": _card({}), "ifeval_input_data.jsonl": jsonl(configs["default"]["train"])}
    if dataset == "math500":
        return {"README.md": _card({}), "test.jsonl": jsonl(configs["default"]["test"])}
    if dataset == "gpqa":
        named = [{"config_name": name, "data_files": f"{name}.csv"} for name in configs]
        files = {f"{name}.csv": _csv(splits["train"]) for name, splits in configs.items()}
        return {"README.md": _card({"configs": named}), **files}
    return {"README.md": _card(_parquet_card(dataset, configs)), **_parquet_files(dataset, configs)}


def jsonl(rows: Rows) -> bytes:
    """A file of JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def parquet(rows: Rows) -> bytes:
    """A parquet file with the types that the rows have."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), buffer)
    return buffer.getvalue()


def _csv(rows: Rows) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _parquet_files(dataset: str, configs: Configs) -> dict[str, bytes]:
    return {
        f"{_FOLDERS.get(dataset, config)}/{split}-00000-of-00001.parquet": parquet(
            [{name: value for name, value in row.items() if name in _COLUMNS[dataset]} for row in rows]
        )
        for config, splits in configs.items()
        for split, rows in splits.items()
    }


def _parquet_card(dataset: str, configs: Configs) -> dict[str, object]:
    features = [{"name": n, **(t if isinstance(t, dict) else {"dtype": t})} for n, t in _COLUMNS[dataset].items()]
    infos = [
        {
            "config_name": config,
            "features": features,
            "splits": [{"name": split, "num_bytes": 1, "num_examples": len(rows)} for split, rows in splits.items()],
            "download_size": 1,
            "dataset_size": 1,
        }
        for config, splits in configs.items()
    ]
    named = [
        {
            "config_name": config,
            "data_files": [{"split": s, "path": f"{_FOLDERS.get(dataset, config)}/{s}-*"} for s in splits],
        }
        for config, splits in configs.items()
    ]
    return {"dataset_info": infos if len(infos) > 1 else infos[0], "configs": named}


def _card(metadata: Mapping[str, object]) -> bytes:
    return f"---\n{yaml.safe_dump({'license': 'mit', **metadata}, sort_keys=False)}---\n# Rows for a test\n".encode()
