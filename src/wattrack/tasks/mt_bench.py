"""MT-Bench: 80 questions of two turns, rated by a judge model (Zheng et al. 2023, arXiv:2306.05685).

Row: {"question_id": 81, "category": "writing", "turns": ["...", "..."], "reference": ["...", "..."]} in question.jsonl;
not every row has a reference. reference_answer/gpt-4.jsonl beside it (or reference_answer_gpt-4.jsonl), where present,
has the judge model's own answers: {"question_id": 101, "choices": [{"turns": ["...", "..."]}]}; its authors use those,
in three categories only. The hub's copy lighteval/mt-bench has the rows of question.jsonl as a table of these columns
(its card: question_id int64, category string, turns and reference lists of strings).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeGuard

from wattrack.errors import DatasetError
from wattrack.metrics.families.mt_bench import CATEGORIES
from wattrack.protocols import Row
from wattrack.schema import Response, Sample, Score
from wattrack.tasks.multiple_choice import text
from wattrack.tasks.rows import Located, jsonl_rows

WITH_REFERENCE = ("math", "reasoning", "coding")
"""Categories in which the judge sees a reference."""
_QUESTIONS = "question.jsonl"
_REFERENCES = ("reference_answer/gpt-4.jsonl", "reference_answer_gpt-4.jsonl")
"""As in the authors' repository, or beside the questions."""


def read(folder: Path, split: str) -> list[Located]:
    """The questions of a folder as MT-Bench's authors publish it, each with the judge model's answers where it has any.

    DatasetError when the questions are not there or an answer is malformed.
    """
    file = folder / _QUESTIONS
    answers = next((folder / name for name in _REFERENCES if (folder / name).is_file()), None)
    if not file.is_file():
        raise DatasetError(f"dataset.data_dir={folder}: {_QUESTIONS} is not there")
    known: dict[object, object] = {}
    for where, row in jsonl_rows(answers) if answers is not None else ():
        try:
            known[row["question_id"]] = row["choices"][0]["turns"]  # type: ignore[index]
        except (KeyError, IndexError, TypeError) as e:
            raise DatasetError(f"{where}: expected question_id and choices[0].turns") from e
    return [
        (where, {**row, "reference": known.get(row.get("question_id"), row.get("reference"))})
        for where, row in jsonl_rows(file)
    ]


def to_sample(sample_id: str, row: Row) -> Sample:
    """One row as a Sample with `turns` and `references` (one for each turn, or none); DatasetError: what is wrong."""
    turns, category = row.get("turns"), text(row, "category")
    if not _is_pair(turns):
        raise DatasetError(f"`turns` must be two texts, got {turns!r:.80}")
    if category not in CATEGORIES:
        raise DatasetError(f"`category` must be one of {', '.join(CATEGORIES)}, got {category!r}")
    # A question without a reference has an empty list where a table has the column.
    references = (row.get("reference") or None) if category in WITH_REFERENCE else None
    if references is not None and not _is_pair(references):
        raise DatasetError(f"`reference` must be a text for each turn, got {references!r:.80}")
    return Sample(
        id=str(row.get("question_id", sample_id)),
        question="\n\n".join(turns),
        target="",  # what a good answer is, a judge says
        group=category,
        data={"turns": list(turns), "references": list(references or ())},
    )


def _is_pair(value: object) -> TypeGuard[Sequence[str]]:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and len(value) == 2
        and all(isinstance(text, str) for text in value)
    )


def score(sample: Sample, response: Response) -> Score:
    """No grade: only a judge can give one. The answer is the text itself."""
    return Score(value=float("nan"), answer=response.text.strip() or None, explanation="not judged")
