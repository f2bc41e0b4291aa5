"""GPQA: questions of biology, physics and chemistry that a search engine does not answer (Rein et al. 2023,
arXiv:2311.12022).

Row: {"Record ID": "rec...", "Question": "...", "Correct Answer": "...", "Incorrect Answer 1": "...", (2, 3),
"High-level domain": "Physics", ...}. Gated: the authors ask not to show examples in public, so none is here.

The right answer comes first in the rows. The order asked is a function of the seed and the texts alone, so that every
build, split and limit sits the same exam; other projects draw it anew in each build (lm-evaluation-harness's zero-shot
task from the global generator). The texts stay as they are: dropping [brackets] would break names of compounds.
"""

from wattrack.prompts.seeds import derived_seed
from wattrack.protocols import Row
from wattrack.schema import Sample
from wattrack.tasks.multiple_choice import text

_FIELDS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
_LABELS = ("(A)", "(B)", "(C)", "(D)")


def to_sample(sample_id: str, row: Row, *, seed: int) -> Sample:
    """One row as a Sample with its choices in the order that `seed` gives; DatasetError says which field is wrong."""
    question, choices = text(row, "Question").strip(), [text(row, name).strip() for name in _FIELDS]
    order = sorted(range(len(choices)), key=lambda i: (derived_seed(seed, question, choices[i]), i))
    return Sample(
        id=text(row, "Record ID").strip() if "Record ID" in row else sample_id,
        question=question,
        target=_LABELS[order.index(0)],
        group=text(row, "High-level domain").strip() if "High-level domain" in row else None,
        choices=tuple(choices[i] for i in order),
        labels=_LABELS,
    )
