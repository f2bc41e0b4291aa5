"""BIG-Bench Hard: 27 tasks that needed reasoning of earlier models (Suzgun et al. 2022, arXiv:2210.09261).

Row: {"input": "not ( True ) and ( True ) is", "target": "False"}; each task is a part of the dataset of its own. Every
question stands after the task's description and three worked examples. These texts are the authors', one file for each
task (`cot-prompts/` of github.com/suzgunmirac/BIG-Bench-Hard), and are not shipped: `dataset.prompts_dir` says where
they are, by default `cot_prompts/` in `dataset.data_dir`.
"""

import re
from pathlib import Path

from wattrack.errors import DatasetError
from wattrack.protocols import Row
from wattrack.schema import Response, Sample, Score
from wattrack.tasks.multiple_choice import text

_ANSWER = "answer is "
_OPTION = re.compile(r"(?:option )?\(?([a-z])\)?(?![a-z])")


def to_sample(sample_id: str, row: Row) -> Sample:
    """One row as a Sample; DatasetError says which field is wrong."""
    return Sample(
        id=sample_id,
        question=text(row, "input").strip(),
        target=text(row, "target").strip(),
        group=text(row, "part"),
    )


def worked_examples(task: str, *, folder: Path | None, reasoning: bool) -> str:
    """The authors' description and examples of a task; without `reasoning` only the answers of the examples remain.

    DatasetError when the file is not there, or not in the authors' form.
    """
    if folder is None or not (file := folder / f"{task}.txt").is_file():
        raise DatasetError(
            f"bbh: the authors' prompt {task}.txt is not in {folder or 'dataset.prompts_dir'}: "
            "git clone https://github.com/suzgunmirac/BIG-Bench-Hard and set dataset.prompts_dir=.../cot-prompts"
        )
    content = file.read_text("utf-8")
    prompt = content.rpartition("\n-----\n")[2].strip()  # before the line stands the canary
    description, *examples = re.split(r"\n\n(?=Q: )", prompt)
    if not examples or not all("\nA:" in e and _ANSWER in e for e in examples):
        raise DatasetError(f"{file}: expected a description and examples 'Q: ... A: ... So the answer is ...'")
    return prompt if reasoning else "\n\n".join([description, *map(_direct, examples)])


def _direct(example: str) -> str:
    question = example.partition("\nA:")[0]
    return f"{question}\nA: {_without_stop(example.rpartition(_ANSWER)[2])}"


def score(sample: Sample, response: Response, *, reasoning: bool) -> Score:
    """exact_match_strict, exact_match_flexible, and the strict one again under the task's name.

    With `reasoning` also format_compliance: "answer is" was written.

    strict    what follows the last "answer is" on its line (without `reasoning`: the first line), a final full stop
              dropped, is the target to the letter
    flexible  the same without case, marks and commas, an option by its letter; without "answer is" the last line
              counts, unless the text was cut off
    """
    written, marked = _answer(response.text, reasoning)
    if reasoning and not marked and response.finish_reason == "length":
        written = ""  # cut off while reasoning: the last line is no answer
    strict = float(marked and written == sample.target)
    flexible = float(bool(written) and _plain(written, sample.target) == _plain(sample.target, sample.target))
    return Score(
        value=strict,
        answer=written or None,
        explanation="" if marked else f"no {_ANSWER.strip()!r}; the last line" if written else "no answer",
        metrics={
            "exact_match_strict": strict,
            "exact_match_flexible": flexible,
            f"bbh_{sample.group}": strict,
            **({"format_compliance": float(marked)} if reasoning else {}),
        },
    )


def _answer(output: str, reasoning: bool) -> tuple[str, bool]:
    """(the answer as written, whether it stands where the prompt asks for it)."""
    lines = output.strip().split("\n")
    if not reasoning:
        return _without_stop(lines[0]), True
    _, found, after = output.rpartition(_ANSWER)
    return (_without_stop(after.split("\n", 1)[0]), True) if found else (_without_stop(lines[-1]), False)


def _without_stop(answer: str) -> str:
    return answer.strip().removesuffix(".").strip()


def _plain(answer: str, target: str) -> str:
    """An answer without what does not change its meaning for this target."""
    words = answer.replace("*", "").replace(",", " ").strip(" .`\"'$").lower().split()
    if re.fullmatch(r"\([A-Z]\)", target) and (option := _OPTION.match(" ".join(words))):
        return option.group(1)
    return (" " if any(c.isalnum() for c in target) else "").join(words)
