"""Rows of any multiple-choice dataset: the YAML says which fields hold the question, the choices and the answer."""

from collections.abc import Mapping, Sequence
from string import ascii_uppercase

from wattrack.errors import DatasetError
from wattrack.protocols import Row
from wattrack.schema import Sample


def to_sample(
    sample_id: str,
    row: Row,
    *,
    question: str = "question",
    choices: str | Sequence[str] = "choices",
    answer: str = "answer",
    group: str | None = None,
) -> Sample:
    """One row as a Sample; DatasetError says which field is wrong.

    Args:
        sample_id: the sample's id.
        row: one row as the hub publishes it.
        question: field with the question.
        choices: field with a list of texts (named A, B, ...) or with `{"text": [...], "label": [...]}`; or the names of
            the fields that hold one text each (named 1, 2, ...).
        answer: field with the position of the right choice (a number, from 0) or its label (a string).
        group: field with the subject, where there is one.
    """
    options, labels = _choices(row, choices)
    subject = None if group is None else text(row, group)
    return Sample(
        id=sample_id,
        question=text(row, question).strip(),
        target=_target(row.get(answer), labels, answer),
        group=subject,
        choices=options,
        labels=labels,
    )


def text(row: Row, name: str) -> str:
    """The text of a field, as it is; DatasetError when there is none."""
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise DatasetError(f"`{name}` must be a non-empty string, got {value!r}")
    return value


def texts(value: object, name: str) -> tuple[str, ...]:
    """A field's value as a list of texts; DatasetError when it is no list of two or more non-empty strings."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) < 2:
        raise DatasetError(f"`{name}` must be a list of two or more strings, got {value!r}")
    if not all(isinstance(item, str) and item.strip() for item in value):
        raise DatasetError(f"`{name}` must hold non-empty strings only, got {value!r}")
    return tuple(value)


def _choices(row: Row, names: str | Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(texts, labels)."""
    if not isinstance(names, str):
        return tuple(text(row, name) for name in names), tuple(str(n) for n in range(1, len(names) + 1))
    value = row.get(names)
    if not isinstance(value, Mapping):
        found = texts(value, names)
        if len(found) > len(ascii_uppercase):
            raise DatasetError(f"`{names}` must hold at most {len(ascii_uppercase)} choices, got {len(found)}")
        return found, tuple(ascii_uppercase[: len(found)])
    found, labels = texts(value.get("text"), f"{names}.text"), texts(value.get("label"), f"{names}.label")
    if len(labels) != len(found) or len(set(labels)) != len(labels):
        raise DatasetError(f"`{names}.label` must name each of the {len(found)} choices once, got {list(labels)}")
    return found, labels


def _target(value: object, labels: Sequence[str], name: str) -> str:
    if value in ("", None, -1):
        raise DatasetError(f"`{name}` is empty: this split has no answers, choose another (dataset.split)")
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(labels):
        return labels[value]
    if isinstance(value, str) and value in labels:
        return value
    raise DatasetError(f"`{name}` must be one of {', '.join(labels)} or a position from 0, got {value!r}")
