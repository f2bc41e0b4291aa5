"""What the model sees, to the character."""

import pytest

from wattrack.errors import ConfigError
from wattrack.prompts.chat import Chat
from wattrack.prompts.completion import Completion
from wattrack.prompts.seeds import derived_seed
from wattrack.prompts.shots import Shot, load_shots
from wattrack.schema import Message, Sample

SHOTS = (Shot(question="1+1?", answer="It is 2."), Shot(question="{x}?", answer="y"))
QUESTION = Sample(id="q", question="2+2?", target="4")


def test_completion_prompt_to_the_character() -> None:
    prompt = Completion(template="Q: {question}\n\nA:", examples=SHOTS)
    assert prompt.request(QUESTION, 0, 0).prompt == "Q: 1+1?\n\nA: It is 2.\n\nQ: {x}?\n\nA: y\n\nQ: 2+2?\n\nA:"


def test_chat_prompt_turns() -> None:
    assert Chat(template="{question}\nGo.", examples=SHOTS[:1]).request(QUESTION, 0, 0).prompt == (
        Message(role="user", content="1+1?\nGo."),
        Message(role="assistant", content="It is 2."),
        Message(role="user", content="2+2?\nGo."),
    )


def test_braces_in_questions_survive() -> None:
    question = Sample(id="a", question="f{0}{question}?", target="")
    assert Completion().request(question, 0, 0).prompt == "f{0}{question}?"


def test_the_shipped_shots_are_worked_and_right() -> None:
    shots = load_shots("gsm8k_cot8")
    assert len(shots) == 8
    for shot in shots:
        assert shot.answer.split("The answer is ")[1].rstrip(".").isdigit()
        assert "\n" not in shot.question + shot.answer
        for step in shot.answer.split(" = ")[:-1]:
            assert step  # every example shows its arithmetic


def test_unknown_shots_name_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"shots=nope: .*gsm8k_cot8"):
        load_shots("nope")


def test_the_hash_moves_with_every_part() -> None:
    base = Chat(examples=SHOTS, max_new_tokens=8)
    variants = [
        Completion(examples=SHOTS, max_new_tokens=8),
        Chat(template="{question} ", examples=SHOTS, max_new_tokens=8),
        Chat(examples=SHOTS[:1], max_new_tokens=8),
    ]
    assert len({p.sha256() for p in [base, *variants]}) == 4


def test_seeds_are_pure_functions_of_their_parts() -> None:
    assert derived_seed(0, "a", 1) == derived_seed(0, "a", 1)
    assert derived_seed(0, "a", 1) != derived_seed(0, "a", 2)
    assert derived_seed("1", "11") != derived_seed("11", "1")
    assert 0 <= derived_seed(0) < 2**63


def test_request_carries_everything() -> None:
    prompt = Completion(max_new_tokens=3)
    request = prompt.request(Sample(id="a", question="?", target="1"), seed=5, repeat=2)
    assert (request.prompt, request.repeat, request.seed) == ("?", 2, derived_seed(5, "a", 2))
