"""The Berkeley Function-Calling Leaderboard v4, the single-turn categories (Patil et al., ICML 2025).

Rows: {"id": "parallel_0", "question": [[{"role": "user", "content": "..."}]], "function": [{name, description,
parameters}]}, in one file for each category, and beside them `possible_answer/` with {"id": ..., "ground_truth":
[{"function": {"argument": [accepted values]}}]}; the relevance categories have none. The files are in the `bfcl-eval`
package of the authors and in their repository.

Every argument of Java and JavaScript functions (`simple_java`, `simple_javascript`) is asked for as a string that holds
source; older collections of the rows lack these categories.

Left out: multi-turn, memory, web search and format sensitivity. So there is no overall score of the leaderboard here,
only its single-turn parts.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from wattrack.errors import DatasetError
from wattrack.intervals import mean
from wattrack.protocols import Row
from wattrack.schema import Record, Response, Sample, Score
from wattrack.scorers import bfcl as python
from wattrack.scorers.bfcl import Answer, Function, mistake
from wattrack.scorers.calls import CallReply, calls_text, read_calls
from wattrack.tasks.bfcl_languages import LANGUAGES, described
from wattrack.tasks.bfcl_reference import reference
from wattrack.tasks.rows import Located, jsonl_rows

log = logging.getLogger(__name__)

_SIMPLE = ("simple_python", *LANGUAGES)
_COMPOSED = ("multiple", "parallel", "parallel_multiple")
_LIVE = ("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple")
_IRRELEVANCE = ("irrelevance", "live_irrelevance")
CATEGORIES = (*_SIMPLE, *_COMPOSED, *_LIVE, *_IRRELEVANCE, "live_relevance")
ALL = "single_turn"
"""The split that is every category; each is a split of its own as well."""


def read(folder: Path, split: str) -> list[Located]:
    """The rows of one category, or of all that are there, each with its `category` and `ground_truth`.

    Raises:
        DatasetError: no such category, no file of it, or no answers to one that has any.
    """
    if split != ALL and split not in CATEGORIES:
        raise DatasetError(f"dataset.split={split}: expected {ALL} or one of {', '.join(CATEGORIES)}")
    wanted = [name for name in CATEGORIES if split in (ALL, name) and _file(folder, name) is not None]
    if not wanted:
        raise DatasetError(
            f"dataset.data_dir={folder}: no BFCL_v4_{split if split != ALL else '<category>'}.jsonl there"
        )
    if split == ALL and (absent := [name for name in CATEGORIES if name not in wanted]):
        log.warning("bfcl: %s has no %s; summaries that need them stay empty", folder, ", ".join(absent))
    return [located for name in wanted for located in _category(folder, name)]


def _file(folder: Path, category: str) -> Path | None:
    """The file of a category; the authors call JSON lines .json."""
    names = (f"BFCL_v4_{category}{suffix}" for suffix in (".jsonl", ".jsonl.gz", ".json"))
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _category(folder: Path, category: str) -> list[Located]:
    file, answers = _file(folder, category), _file(folder / "possible_answer", category)
    assert file is not None
    if answers is None and "relevance" not in category:
        raise DatasetError(f"{folder}/possible_answer: the answers of {category} are missing")
    truth = {row["id"]: row["ground_truth"] for _, row in jsonl_rows(answers)} if answers else {}
    return [
        (where, {**row, "category": category, **({"ground_truth": truth[row["id"]]} if row.get("id") in truth else {})})
        for where, row in jsonl_rows(file)
    ]


def to_sample(sample_id: str, row: Row) -> Sample:
    """One row as a Sample; DatasetError says which field is wrong."""
    category, turns = str(row["category"]), row.get("question")
    if not isinstance(turns, list) or len(turns) != 1 or not isinstance(turns[0], list) or not turns[0]:
        raise DatasetError("`question` must be a list with one turn, a list of messages")
    messages = turns[0]
    functions = row.get("function")
    if not isinstance(functions, list):
        raise DatasetError(f"`function` must be a list of descriptions, got {functions!r:.80}")
    for function in functions:
        _check(function, category)
    answers = row.get("ground_truth", [])
    if "relevance" not in category and not answers:
        raise DatasetError(f"{row.get('id')}: no ground_truth in possible_answer")
    only = len(messages) == 1
    return Sample(
        id=str(row.get("id", sample_id)),
        question=messages[0]["content"] if only else "\n".join(f"[{m['role']}] {m['content']}" for m in messages),
        target=_target(category, functions, cast(Sequence[Answer], answers)),
        group=category,
        data={**_functions(functions, category), "messages": messages, "answers": answers},
    )


def _functions(functions: Sequence[Function], category: str) -> dict[str, object]:
    """What the model is shown as `functions`, and as `typed` what the scorer goes by where that is something else."""
    if category not in LANGUAGES:
        return {"functions": functions}
    return {"functions": [described(function, LANGUAGES[category]) for function in functions], "typed": functions}


def _check(function: object, category: str) -> None:
    parameters = function.get("parameters") if isinstance(function, dict) else None
    if not isinstance(parameters, dict) or not isinstance(parameters.get("properties"), dict):
        raise DatasetError("`function` must hold descriptions with parameters.properties")
    language = LANGUAGES.get(category)
    types, lists = (language.types, language.lists) if language else (python.TYPES, ())
    for name, details in parameters["properties"].items():
        kind, items = details.get("type"), python.item_type(details)
        if kind not in types or (kind in lists and items not in types):
            of = f" of {items!r}" if kind in lists else ""
            raise DatasetError(f"argument {name} has type {kind!r}{of}: expected one of {', '.join(types)}")


def _target(category: str, functions: Sequence[Function], answers: Sequence[Answer]) -> str:
    if "relevance" in category:
        return "no call" if "irrelevance" in category else ""  # any call is right: there is no reference
    return reference(functions, answers, LANGUAGES.get(category))


def score(sample: Sample, response: Response) -> Score:
    """`bfcl_accuracy` and the same under the category's name.

    Relevance asks whether anything can be read as a call: the irrelevance categories pass without one (an empty or an
    unreadable reply too, as upstream), `live_relevance` with any.
    """
    category = sample.group or ""
    language = LANGUAGES.get(category)
    reply = read_calls(response.text, language.calls if language else None)
    if "relevance" in category:
        wrong = "irrelevance" in category
        why = None if bool(reply.calls) != wrong else "called a function" if wrong else "called no function"
    else:
        functions = cast(Sequence[Function], sample.data.get("typed", sample.data["functions"]))
        answers = cast(Sequence[Answer], sample.data["answers"])
        why = mistake(functions, answers, reply.calls, language.accepts if language else None)
    right = float(why is None)
    return Score(
        value=right,
        answer=calls_text(reply.calls) if reply.error is None else None,
        explanation="; ".join(filter(None, (why or "accepted", _form(reply), reply.error))),
        metrics={
            "bfcl_accuracy": right,
            f"bfcl_{category}": right,
            "call_unreadable": float(reply.error is not None),
        },
    )


def _form(reply: CallReply) -> str:
    return f"calls as {reply.form}" if reply.calls else "no call"


def aggregate(records: Sequence[Record]) -> Mapping[str, float | None]:
    """The leaderboard's single-turn summaries; None where one of their categories was not asked.

    v4: simple = mean of three languages, non-live = mean of simple and three more categories, live = mean over the rows
    of four, irrelevance = mean of two; each is 10 % of the overall score. `bfcl_single_turn` is the mean of the three.
    `bfcl_non_live_python` takes Python alone for simple, for rows without the other languages.
    """
    found = {name: [r.metrics[f"bfcl_{name}"] for r in records if f"bfcl_{name}" in r.metrics] for name in CATEGORIES}
    live = [value for name in _LIVE for value in found[name]] if all(found[name] for name in _LIVE) else []
    simple = _mean_of([mean(found[name]) for name in _SIMPLE])
    composed = [mean(found[name]) for name in _COMPOSED]
    parts = {
        "bfcl_non_live": _mean_of([simple, *composed]),
        "bfcl_live": mean(live),
        "bfcl_irrelevance_both": _mean_of([mean(found[name]) for name in _IRRELEVANCE]),
    }
    return {
        "bfcl_simple": simple,
        "bfcl_non_live_python": _mean_of([mean(found["simple_python"]), *composed]),
        **parts,
        "bfcl_single_turn": _mean_of([*parts.values()]),
    }


def _mean_of(values: Sequence[float | None]) -> float | None:
    """Their mean; None where one of them is missing."""
    known = [value for value in values if value is not None]
    return mean(known) if len(known) == len(values) else None
