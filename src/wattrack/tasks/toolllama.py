"""ToolBench queries with their tools (Qin et al. 2024, arXiv:2307.16789): the first step alone (`scorers.toolbench`).

Rows: {"query_id": "1187", "query": "...", "available_tools": [{name, description, parameters}], ...}, in one file for
each of the six test sets; the last tool is ToolBench's own `Finish`. The authors' files map query ids to such rows
(`toolbench/tooleval/results/default_evalset/gpt-3.5-turbo_CoT/G1_instruction.json` of github.com/OpenBMB/ToolBench).
"""

from pathlib import Path

from wattrack.errors import DatasetError
from wattrack.protocols import Row
from wattrack.schema import Sample
from wattrack.tasks.multiple_choice import text
from wattrack.tasks.rows import Located, local_file, local_rows

SUBSETS = ("G1_instruction", "G1_category", "G1_tool", "G2_instruction", "G2_category", "G3_instruction")
ALL = "all"
"""The split that is every test set; each is a split of its own as well."""


def read(folder: Path, split: str) -> list[Located]:
    """The rows of one test set, or of all six, each with its `subset`; also from a folder `default_evalset` inside."""
    if split != ALL and split not in SUBSETS:
        raise DatasetError(f"dataset.split={split}: expected {ALL} or one of {', '.join(SUBSETS)}")
    inside = folder / "default_evalset"
    within = inside if inside.is_dir() else folder
    files = {name: local_file(within, name) for name in SUBSETS if split in (ALL, name)}
    if missing := [name for name, file in files.items() if file is None]:
        raise DatasetError(f"dataset.data_dir={folder}: {', '.join(f'{m}.json(l)' for m in missing)} is not there")
    return [
        (where, {**row, "subset": name})
        for name, file in files.items()
        if file is not None
        for where, row in local_rows(file, key="query_id")
    ]


def to_sample(sample_id: str, row: Row) -> Sample:
    """One row as a Sample; DatasetError says which field is wrong."""
    tools = row.get("available_tools")
    if not isinstance(tools, list) or not tools:
        raise DatasetError(f"`available_tools` must be a list of descriptions, got {tools!r:.80}")
    for tool in tools:
        parameters = tool.get("parameters") if isinstance(tool, dict) else None
        if not isinstance(parameters, dict) or not isinstance(parameters.get("properties"), dict):
            raise DatasetError("`available_tools` must hold descriptions with parameters.properties")
    subset = text(row, "subset")
    return Sample(
        id=f"{subset}-{text(row, 'query_id')}",
        question=text(row, "query").strip(),
        target="a first call that fits its tool",
        target_is_answer=False,
        group=subset,
        data={"functions": tools},
    )
