"""HellaSwag: which of four endings continues the text (Zellers et al. 2019, arXiv:1905.07830).

Row: {"activity_label": "Baking", "ctx_a": "A man opens an oven.", "ctx_b": "he", "endings": ["takes ...", ...],
"label": "2", ...}; `label` is the ending's position as a string, empty in the split without answers. Texts from WikiHow
hold marks such as "[title]" and "[step]", which the paper's protocol removes.
"""

import re
from dataclasses import replace

from wattrack.errors import DatasetError
from wattrack.protocols import Row
from wattrack.schema import Sample
from wattrack.tasks import multiple_choice

_MARK = re.compile(r"\[.*?\]")


def to_sample(sample_id: str, row: Row) -> Sample:
    """One row as a Sample; DatasetError says which field is wrong."""
    activity, before = multiple_choice.text(row, "activity_label"), multiple_choice.text(row, "ctx_a")
    after, label = row.get("ctx_b"), row.get("label")
    if not isinstance(after, str):
        raise DatasetError(f"`ctx_b` must be a string, got {after!r}")
    endings = [clean(ending) for ending in multiple_choice.texts(row.get("endings"), "endings")]
    position = int(label) if isinstance(label, str) and label.isdecimal() else label
    # capitalize() lowers the rest of ctx_b as well: faithful to the paper's code.
    question = clean(f"{activity}: {before} {after.capitalize()}")
    cleaned = {"question": question, "endings": endings, "label": position}
    sample = multiple_choice.to_sample(sample_id, cleaned, choices="endings", answer="label")
    # Its own last blank, where a mark left one, goes to the continuations.
    return replace(sample, question=question)


def clean(text: str) -> str:
    """Without WikiHow's marks: a title becomes a new sentence, other brackets go, double blanks shrink once."""
    return _MARK.sub("", text.strip().replace(" [title]", ". ")).replace("  ", " ")
