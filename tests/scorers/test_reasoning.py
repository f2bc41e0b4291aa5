"""Reasoning blocks: what is left of a reply, and that every scorer of a task sees only that."""

from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import flat_response
from wattrack.prompts.chat import Chat
from wattrack.protocols import Scorer
from wattrack.schema import Sample
from wattrack.scorers import number, structure, tool_calls
from wattrack.scorers.reasoning import read
from wattrack.tasks import gsm8k, ifeval
from wattrack.tasks.task import Source, Task

GOLDEN = [
    # text, end of the prompt, answer, unfinished
    ("#### 4", "", "#### 4", False),
    ("", "", "", False),
    ("a < b and b > a", "", "a < b and b > a", False),
    ("<think>2 + 2</think>\n\n4", "", "\n\n4", False),
    ("<think>\n\n</think>\n\n4", "", "\n\n4", False),
    ("2 + 2\n</think>\n4", "assistant\n<think>\n", "\n4", False),
    ("2 + 2\n</think>\n4", "", "\n4", False),
    ("2 + 2", "assistant\n<think>\n", "", True),
    ("4", "assistant\n<think>\n\n</think>\n\n", "4", False),
    ("4", "Write <think> first.\nassistant\n", "4", False),
    ("<think>2 + 2 is", "", "", True),
    ("<think>a</think><think>b</think>4", "", "4", False),
    ("<think>a</think>4<think>but", "", "4", True),
    ("Sure. <THINKING>a</Thinking>4", "", "4", False),
    ("<thought>a</thought>4", "", "4", False),
    ("<reasoning>a</reasoning>4", "", "4", False),
    ("<seed:think>a</seed:think>4", "", "4", False),
    ("[THINK]a[/THINK]4", "", "4", False),
    ("<|begin_of_thought|>a<|end_of_thought|>4", "", "4", False),
    ("<thinker>4", "", "<thinker>4", False),
    ("<think", "", "<think", False),
]


@pytest.mark.parametrize(("text", "prompt", "answer", "unfinished"), GOLDEN)
def test_golden_rows(text: str, prompt: str, answer: str, unfinished: bool) -> None:
    reply = read(text, prompt)
    assert (reply.answer, reply.unfinished) == (answer, unfinished)
    assert reply.thinking_chars == len(text) - len(answer)


@given(st.text(st.sampled_from("ab<>/[] \n")), st.text(st.sampled_from("ab4 \n")))
def test_an_answer_after_a_block_is_the_answer(thought: str, answer: str) -> None:
    assert read(f"<think>{thought}</think>{answer}").answer == answer
    assert read(answer).answer == answer


def test_only_blank_lines_after_a_block_are_left_out() -> None:
    assert read("<think>x</think>\n \n    return x\n").told == "    return x\n"
    assert read("\n\nx").told == "\n\nx"


def _task(scorer: Scorer, headline: str) -> Task:
    prompt = Chat(max_new_tokens=8)
    source = Source(name="x", split="test", data_dir=Path())
    return Task(
        source=source, to_sample=gsm8k.to_sample, prompt=prompt, scorer=scorer, headline=headline, protocol="x/x@1"
    )


PERSON = Sample(id="q", question="?", target="{}", data={"schema": {"type": "object", "required": ["a"]}})
FUNCTION = {"name": "f", "description": "", "parameters": {"type": "object", "properties": {}}}
CALL = Sample(
    id="q",
    question="?",
    target="",
    data={"functions": [FUNCTION], "expected": [{"name": "f", "arguments": {}}]},
)
QUOTED = ifeval.to_sample("q", {"prompt": "?", "instruction_id_list": ["startend:quotation"], "kwargs": [{}]})
PARAGRAPH = ifeval.to_sample(
    "q",
    {
        "prompt": "?",
        "instruction_id_list": ["length_constraints:nth_paragraph_first_word"],
        "kwargs": [{"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "hello"}],
    },
)
SCORED: list[tuple[Scorer, str, Sample, str, str]] = [
    (
        partial(number.score, marker="####"),
        "exact_match_flexible",
        Sample(id="q", question="?", target="4"),
        "4",
        "5",
    ),
    (structure.score, "schema_valid", PERSON, '{"a": 1}', "{}"),
    (
        tool_calls.score,
        "exact_success",
        CALL,
        '<tool_call>{"name": "f", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "g", "arguments": {}}</tool_call>',
    ),
    (ifeval.score, "prompt_strict", QUOTED, '"hello"', "hello"),
    (ifeval.score, "prompt_strict", PARAGRAPH, "Hello you.\n\nBye.", "Bye.\n\nHello."),
]


@pytest.mark.parametrize(("scorer", "headline", "sample", "right", "wrong"), SCORED, ids=lambda v: str(v)[:20])
def test_no_scorer_sees_the_reasoning(scorer: Scorer, headline: str, sample: Sample, right: str, wrong: str) -> None:
    task = _task(scorer, headline)

    def value(text: str, prompt: str = "") -> float:
        response = flat_response(
            sample_id="q", repeat=0, text=text, finish_reason="stop", input_tokens=1, output_tokens=1,
            prompt_text=prompt,
        )  # fmt: skip
        return task.score(sample, response).value

    assert value(right) == value(f"<think>{wrong}</think>\n\n{right}") == value(f"{wrong}</think>{right}") == 1
    assert value(wrong) == value(f"<think>{right}</think>\n{wrong}") == 0
    assert value(f"<think>{right}") == value(right, "<think>\n") == 0
