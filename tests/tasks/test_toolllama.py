"""ToolBench's queries: the published rows convert where they are; what is missing is named."""

from pathlib import Path

import pytest

from support import CHECKOUT, Compose
from wattrack.errors import DatasetError
from wattrack.settings import build, checks
from wattrack.tasks import toolllama

DATA = CHECKOUT.parent / "shared" / "data" / "toolllama"


@pytest.mark.skipif(not DATA.is_dir(), reason="the published rows are not beside the checkout")
def test_every_published_row_becomes_a_question(composed: Compose) -> None:
    cfg = composed("dataset=toolllama", f"dataset.data_dir={DATA}")
    checks.check(cfg)
    questions = build.task(cfg).questions(None, 0, 1)
    assert len({s.id for s in questions.samples}) == len(questions.requests) == 600
    assert {s.group for s in questions.samples} == set(toolllama.SUBSETS)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"G3_instruction\.json\(l\) is not there"):
        toolllama.read(tmp_path, "G3_instruction")
    with pytest.raises(DatasetError, match="expected all or one of G1_instruction"):
        toolllama.read(tmp_path, "test")
    row = {"query_id": "1", "query": "q", "subset": "G1_tool", "available_tools": [{"name": "f", "parameters": {}}]}
    with pytest.raises(DatasetError, match=r"parameters\.properties"):
        toolllama.to_sample("", row)
