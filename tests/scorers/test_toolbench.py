"""What one reply of a ToolBench episode shows by itself."""

import pytest

from scorers.hostile import hostile_texts
from support import flat_response
from wattrack.schema import Sample
from wattrack.scorers.toolbench import score

TOOLS = [
    {"name": "find", "parameters": {"properties": {"q": {"type": "string"}, "page": {}}, "required": ["q"]}},
    {
        "name": "Finish",
        "parameters": {"properties": {"return_type": {}, "final_answer": {}}, "required": ["return_type"]},
    },
]
NAMES = ("offline", "parsed", "known_tools", "arguments_covered", "finished", "gave_up")

GOLDEN = [
    ('<tool_call>{"name": "find", "arguments": {"q": "x"}}</tool_call>', (1, 1, 1, 1, 0, 0)),
    ('Thought: I look.\nAction: find\nAction Input: {"q": "x", "page": 2}\nObservation: {}', (1, 1, 1, 1, 0, 0)),
    ("Thought: hm\nAction: find\nAction Input: {'q': 'x'}", (0, 0, 0, 0, 0, 0)),
    ("Thought: hm\nAction: find\nAction Input: [1]", (0, 0, 0, 0, 0, 0)),
    ("Action: find\nAction Input:", (0, 1, 1, 0, 0, 0)),
    ("[find(page=1)]", (0, 1, 1, 0, 0, 0)),
    ("[find(q='x', other=1)]", (0, 1, 1, 0, 0, 0)),
    ("[search(q='x')]", (0, 1, 0, 0, 0, 0)),
    ("[Finish(return_type='give_answer', final_answer='y')]", (0, 1, 1, 1, 1, 0)),
    ('Action: Finish\nAction Input: {"return_type": "give_up_and_restart"}', (0, 1, 1, 1, 1, 1)),
    ("I would search.", (0, 0, 0, 0, 0, 0)),
    ("", (0, 0, 0, 0, 0, 0)),
]


def graded(text: str) -> list[float]:
    sample = Sample(id="1", question="", target="", data={"functions": TOOLS})
    response = flat_response(sample_id="1", repeat=0, text=text, finish_reason="stop", input_tokens=1, output_tokens=1)
    found = score(sample, response)
    assert found.value == found.metrics["toolbench_offline"]
    return [found.metrics[f"toolbench_{name}"] for name in NAMES]


@pytest.mark.parametrize(("text", "values"), GOLDEN)
def test_golden_rows(text: str, values: tuple[int, ...]) -> None:
    assert graded(text) == list(values)


def test_hostile_output_neither_crashes_nor_hangs() -> None:
    for text in hostile_texts(2_000):
        assert set(graded(f"Action: find\nAction Input: {text}")) <= {0.0, 1.0}
