"""Conversations: a later turn is asked with the model's own earlier answers, whatever happens in between."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from scripted import TextEngine
from support import flat_response
from test_benchmark import Windows
from test_job import folders, runs
from wattrack.answering import ALL, Load
from wattrack.errors import DatasetError
from wattrack.job.loop import collect, foreseen, openings
from wattrack.journal import Journal, read_journal
from wattrack.prompts.turns import Turns
from wattrack.schema import Message, Request, Response, Sample

PROMPT = Turns(max_new_tokens=9, temperature=0.5, temperatures={"math": 0.0})
SAMPLES = [
    Sample(id=name, question="", target="", group=group, data={"turns": [f"{name}?", "More?", "Done?"]})
    for name, group in (("a", "math"), ("b", "writing"))
]


class Echo(TextEngine):
    """Answers with the last user turn, upper case, and its repeat; refuses what holds `refused`."""

    def __init__(self, refused: str = "never", thinks: str = "") -> None:
        super().__init__()
        self._refused, self._thinks = refused, thinks
        self.prompts: dict[tuple[str, int], tuple[Message, ...]] = {}

    def generate(self, requests: Sequence[Request], load: Load = ALL) -> Iterator[Response]:
        self.asked.append(len(requests))
        for r in reversed(requests):
            assert not isinstance(r.prompt, str)
            self.prompts[r.sample_id, r.repeat] = r.prompt
            last = r.prompt[-1].content
            error = "refused" if self._refused in last else None
            yield flat_response(
                sample_id=r.sample_id, repeat=r.repeat, text="" if error else f"{self._thinks}{last.upper()}{r.repeat}",
                finish_reason="error" if error else "stop", input_tokens=1, output_tokens=1, error=error,
            )  # fmt: skip


def requests(repeats: int = 1) -> list[Request]:
    turns = [turn for sample in SAMPLES for turn in PROMPT.turns(sample)]
    return [PROMPT.request(turn, 0, repeat) for turn in turns for repeat in range(repeats)]


def asked(engine: Echo, tmp_path: Path, carried: Sequence[Response] = (), repeats: int = 1) -> list[Response]:
    with Journal(tmp_path / "responses.jsonl") as journal:
        return collect(engine, requests(repeats), Windows(), journal, lambda r: None, carried)


def test_a_turn_is_a_sample_with_its_own_seed_and_its_groups_temperature() -> None:
    turns = PROMPT.turns(SAMPLES[0])
    assert [t.id for t in turns] == ["a-turn1", "a-turn2", "a-turn3"]
    assert [t.question for t in turns] == ["a?", "More?", "Done?"]
    made = requests()
    assert [r.after for r in made[:3]] == [(), ("a-turn1",), ("a-turn1", "a-turn2")]
    assert [r.generation.temperature for r in made] == [0.0] * 3 + [0.5] * 3
    assert len({r.seed for r in made}) == 6
    assert [m.role for m in made[2].prompt if isinstance(m, Message)] == ["user", "assistant"] * 2 + ["user"]
    assert [r.sample_id for r in openings(made) if isinstance(r, Request)] == ["a-turn1", "b-turn1"]
    assert [r.generation.max_new_tokens for r in foreseen(made) if isinstance(r, Request)] == [9, 18, 27] * 2


def test_rows_without_turns_are_refused() -> None:
    with pytest.raises(DatasetError, match="1: conversations need rows with turns"):
        PROMPT.turns(Sample(id="1", question="Why?", target=""))


def test_later_turns_hold_the_answers_of_their_own_conversation_and_repeat(tmp_path: Path) -> None:
    engine = Echo()
    found = asked(engine, tmp_path, repeats=2)
    assert engine.asked == [4, 4, 4], "turn by turn, each for all conversations at once"
    assert [m.content for m in engine.prompts["b-turn3", 1]] == ["b?", "B?1", "More?", "MORE?1", "Done?"]
    assert [m.content for m in engine.prompts["a-turn2", 0]] == ["a?", "A?0", "More?"]
    assert [(r.sample_id, r.repeat) for r in found] == [(r.sample_id, r.repeat) for r in requests(2)]
    assert len(read_journal(tmp_path / "responses.jsonl")) == 12


def test_a_conversation_goes_on_without_the_reasoning(tmp_path: Path) -> None:
    engine = Echo(thinks="<think>a? or b?</think>")
    asked(engine, tmp_path)
    assert [m.content for m in engine.prompts["a-turn2", 0]] == ["a?", "A?0", "More?"]


def test_after_a_failed_turn_nothing_of_the_conversation_is_asked(tmp_path: Path) -> None:
    engine = Echo(refused="b?")
    found = {r.sample_id: r for r in asked(engine, tmp_path)}
    assert engine.asked == [2, 1, 1]
    assert found["b-turn2"].error == found["b-turn3"].error == "an earlier turn of the conversation failed"
    assert found["a-turn3"].text == "DONE?0"


@pytest.mark.parametrize("kept", range(6))
def test_an_interrupted_conversation_goes_on_from_what_was_answered(tmp_path: Path, kept: int) -> None:
    whole = asked(Echo(), tmp_path)
    in_order = read_journal(tmp_path / "responses.jsonl")
    (tmp_path / "again").mkdir()
    engine = Echo()
    assert asked(engine, tmp_path / "again", carried=in_order[:kept]) == whole
    assert sum(engine.asked) == 6 - kept


@pytest.mark.slow
def test_a_job_of_two_turns_is_unscored_without_a_judge(
    run_here: Callable[..., int], outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"question_id": 81 + i, "category": name, "turns": ["There are 3 apples.", "How many apples?"]}
        for i, name in enumerate(("writing", "math"))
    ]
    (outputs / "question.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    code = run_here(
        "model=demo_xs", "dataset=mt_bench", f"dataset.data_dir={outputs}", "probe_questions=2",
        "dataset.protocols.chat.prompt.max_new_tokens=12", "hardware.threads=1",
    )  # fmt: skip
    assert code == 0
    assert "quality: unscored: no judge" in capsys.readouterr().out
    (run,) = runs(outputs, "mt_bench")
    assert run.info.status == "FINISHED"
    assert run.data.tags["quality.status"] == "unscored: no judge"
    assert not {"quality/score", "quality/mt_bench", "energy/j_per_correct"} & set(run.data.metrics)
    assert run.data.metrics["quality/n"] == 4
    (folder,) = folders(outputs)
    found = {r.sample_id: r for r in read_journal(folder / "responses.jsonl")}
    assert sorted(found) == ["81-turn1", "81-turn2", "82-turn1", "82-turn2"]
    for name in ("81", "82"):
        first, second = found[f"{name}-turn1"], found[f"{name}-turn2"]
        assert first.text
        assert f"<|im_start|>assistant\n{first.text}<|im_end|>" in second.prompt_text
    assert run.data.metrics["tokens/output"] == sum(r.usage.output_tokens for r in found.values())
