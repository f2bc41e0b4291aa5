"""GSM8K: grade-school word problems with one number as answer (Cobbe et al. 2021, arXiv:2110.14168).

Row: {"question": "...", "answer": "worked steps with <<48/2=24>> marks ... #### 72"}. Official rule: the reference is
what follows "#### ", commas removed.
"""

from wattrack.errors import DatasetError
from wattrack.protocols import Row
from wattrack.schema import Sample
from wattrack.scorers.number import parse


def to_sample(sample_id: str, row: Row) -> Sample:
    """One row as a Sample; DatasetError says which field is wrong."""
    question, answer = row.get("question"), row.get("answer")
    if not isinstance(question, str) or not question.strip():
        raise DatasetError(f"`question` must be a non-empty string, got {question!r}")
    if not isinstance(answer, str) or "####" not in answer:
        raise DatasetError(f"`answer` must be a string that ends in '#### NUMBER', got {answer!r}")
    target = answer.rpartition("####")[2].strip().replace(",", "")
    if parse(target) is None:
        raise DatasetError(f"`answer` must end in '#### NUMBER', got {target!r} after '####'")
    return Sample(id=sample_id, question=question.strip(), target=target)
