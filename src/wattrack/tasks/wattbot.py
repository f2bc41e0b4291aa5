"""WattBot 2025: questions about the energy use of AI, to be answered from 32 documents (a Kaggle competition).

Row of the user's own `train_QA.csv`, every cell a text: {"id": "q1", "question": "How ...?", "answer_value": "7.5",
"answer_unit": "GB", "ref_id": "['doe2021']", ...}; "is_blank" = cannot be answered from the documents. Beside it lies
`corpus/<document id>.json.gz` (or .json) for each document: {"title": "...", "text": "...", ...}.

There is no retrieval here: `closed` asks without documents, `oracle` gives those that the truth names.
"""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from wattrack.errors import ConfigError, DatasetError
from wattrack.intervals import mean
from wattrack.protocols import Row
from wattrack.schema import Record, Response, Sample, Score
from wattrack.scorers import json_reply, wattbot
from wattrack.tasks.multiple_choice import text

_BLANK = "is_blank"
_KEY = "answer_value"
_VALUE, _REF, _NA = 0.75, 0.15, 0.10
"""Weights of the components in the overall score."""


def to_sample(sample_id: str, row: Row) -> Sample:
    """One row as a Sample, under its own id; DatasetError says which field is wrong. An empty cell stays empty."""
    truth = {name: _cell(row, name) for name in ("answer_value", "answer_unit", "ref_id")}
    unit = truth["answer_unit"]
    return Sample(
        id=text(row, "id").strip(),
        question=text(row, "question").strip() + ("" if wattbot.is_blank(unit) else f" (Unit: {unit.strip()})"),
        target=json.dumps({"answer_value": truth["answer_value"], "ref_id": truth["ref_id"]}, ensure_ascii=False),
        data=truth,
    )


def _cell(row: Row, name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise DatasetError(f"`{name}` must be a text, got {value!r}: read the CSV without guessing types")
    return value


def documents(sample: Sample, *, folder: Path | None, budget_chars: int) -> str:
    """The documents that the truth names, each from its beginning; together at most `budget_chars` of their text.

    What a short document leaves of its equal share goes to the longer ones. DatasetError when one is not there,
    ConfigError for a negative budget.
    """
    if budget_chars < 0:
        raise ConfigError(f"context.budget_chars={budget_chars}: must be 0 or more")
    names = sorted(wattbot.ref_ids(str(sample.data["ref_id"])) - {"", _BLANK})
    texts = {name: _document(folder, name) for name in names}
    left, cut = budget_chars, {}
    for number, name in enumerate(sorted(names, key=lambda n: (len(texts[n]), n))):
        cut[name] = texts[name][: left // (len(names) - number)]
        left -= len(cut[name])
    return "\n---\n".join(f"[ref_id={name}] {cut[name]}" for name in names) or "(none)"


def _document(folder: Path | None, name: str) -> str:
    files = [folder / "corpus" / f"{name}{suffix}" for suffix in (".json.gz", ".json")] if folder is not None else []
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise DatasetError(f"wattbot/oracle needs the document {name} as corpus/{name}.json.gz in dataset.data_dir")
    try:
        data = file.read_bytes()
        content = json.loads(gzip.decompress(data) if file.suffix == ".gz" else data)
    except (OSError, EOFError, ValueError, zlib.error) as e:
        raise DatasetError(f"{file}: cannot be read ({e}); is it complete?") from e
    if not isinstance(content, dict) or not isinstance(content.get("text"), str):
        raise DatasetError(f"{file}: expected a JSON object with the document as `text`")
    return f"{content.get('title', '')}\n{content['text']}".strip()


def score(sample: Sample, response: Response) -> Score:
    """The components of one question, published rules and strict ones; na_recall where the truth is blank.

    A reply without a readable answer is a blank prediction by the published rules. By the strict ones it is wrong: it
    did not say that the question cannot be answered.
    """
    truth, unit, refs = (str(sample.data[name]) for name in ("answer_value", "answer_unit", "ref_id"))
    found = read_cells(response.text)
    value, ref = found or (_BLANK, _BLANK)
    right, overlap = float(wattbot.value_matches(truth, value)), wattbot.ref_overlap(refs, ref)
    na = float(wattbot.is_blank(value) or not wattbot.is_blank(truth))
    metrics = {
        "wattbot_value": right,
        "wattbot_ref": overlap,
        "wattbot_weighted": _VALUE * right + _REF * overlap + _NA * na,
        "wattbot_ref_strict": 0.0 if found is None else overlap,
        "format_compliance": float(_as_asked(response.text)),
        "wattbot_value_strict": float(found is not None and wattbot.value_matches_strict(truth, value, unit)),
    }
    if wattbot.is_blank(truth):
        metrics["wattbot_na_recall"] = na
    if wattbot.is_blank_strict(truth):
        metrics["wattbot_na_recall_strict"] = metrics["wattbot_value_strict"]
    elif wattbot.number_range(truth) is not None:
        metrics["wattbot_in_range"] = float(wattbot.in_range(truth, value, unit))
    return Score(
        value=right,
        answer=None if found is None else f"{value} {ref}",
        explanation="no JSON object with answer_value" if found is None else f"references {overlap:.3g}",
        metrics=metrics,
    )


def read_cells(reply: str) -> tuple[str, str] | None:
    """(answer_value, ref_id) as cells of a submission; None when the reply holds no JSON object with answer_value.

    A null and an empty list are blank; a text stays as it is.
    """
    found = json_reply.read_json(reply, truncated=False).value
    if not isinstance(found, dict) or _KEY not in found:
        found = next(_objects(reply), None)
    if found is None:
        return None
    refs = found.get("ref_id")
    return _written(found[_KEY]), _written(None if refs == [] else refs)


def _as_asked(reply: str) -> bool:
    """Whether the whole reply is the JSON object that was asked for."""
    read = json_reply.read_json(reply, truncated=False)
    return read.found == "whole" and isinstance(read.value, dict) and {_KEY, "ref_id"} <= read.value.keys()


def _objects(text: str) -> Iterator[dict[str, object]]:
    """The object around the last mention of the key, and what the first and the last brace enclose.

    A citation such as [1] or a brace before the answer is no answer.
    """
    start = text.rfind("{", 0, max(0, text.rfind(f'"{_KEY}"')))
    for part in (json_reply.balanced(text[start:]) if start >= 0 else None, text[text.find("{") : text.rfind("}") + 1]):
        try:
            found = json_reply.parse(part or "")
        except ValueError:
            continue
        if isinstance(found, dict) and _KEY in found:
            yield found


def _written(value: object) -> str:
    """A JSON value as a cell; null is a blank."""
    if value is None:
        return _BLANK
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def aggregate(records: Sequence[Record]) -> Mapping[str, float | None]:
    """The overall scores: 0.75 value + 0.15 ref + 0.10 na_recall, each a mean over its own questions.

    Without an unanswerable question the published rule takes 1 for na_recall; the strict one is then not known.
    """
    means = {
        name: mean([r.metrics[f"wattbot_{name}"] for r in records if f"wattbot_{name}" in r.metrics])
        for name in ("value", "ref", "na_recall", "value_strict", "ref_strict", "na_recall_strict")
    }
    return {
        "wattbot_overall": _overall(
            means["value"], means["ref"], 1.0 if means["na_recall"] is None else means["na_recall"]
        ),
        "wattbot_overall_strict": _overall(means["value_strict"], means["ref_strict"], means["na_recall_strict"]),
    }


def _overall(value: float | None, ref: float | None, na: float | None) -> float | None:
    return None if value is None or ref is None or na is None else _VALUE * value + _REF * ref + _NA * na
