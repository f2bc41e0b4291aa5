"""The four choice datasets through their YAML, with rows of our own in the hub's schema: prompts to the character."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from support import Compose
from wattrack.errors import ConfigError, DatasetError
from wattrack.schema import Candidate, ChoiceRequest
from wattrack.settings import build, checks
from wattrack.tasks.task import Questions, Task

Rows = Sequence[Mapping[str, object]]


def write(folder: Path, **splits: Rows) -> None:
    for split, rows in splits.items():
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", "utf-8")


def task(composed: Compose, folder: Path, name: str, *overrides: str) -> Task:
    cfg = composed(f"dataset={name}", "dataset.order=file", "dataset.rows=null", *overrides)
    cfg.dataset.data_dir = str(folder)
    checks.check(cfg)
    return build.task(cfg)


def ask(composed: Compose, folder: Path, name: str, *overrides: str) -> Questions:
    return task(composed, folder, name, *overrides).questions(None, 0, 1)


def candidates(questions: Questions, number: int = 0) -> tuple[Candidate, ...]:
    request = questions.requests[number]
    assert isinstance(request, ChoiceRequest)
    return request.candidates


def said(*continuations: str, context: str) -> tuple[Candidate, ...]:
    return tuple(Candidate(context=context, continuation=c) for c in continuations)


def arc(number: int, key: str = "B", labels: str = "ABC") -> dict[str, object]:
    texts = [f"choice {i} of {number}" for i in range(len(labels))]
    return {"id": f"x{number}", "question": f"Question {number}?", "choices": {"text": texts, "label": list(labels)},
            "answerKey": key}  # fmt: skip


def mmlu(number: int, subject: str = "world_religions", answer: int = 2) -> dict[str, object]:
    choices = [f"w{number}", f"x{number}", f"y{number}", f"z{number}"]
    return {"question": f" Why {number}?\n", "subject": subject, "choices": choices, "answer": answer}


def winogrande(number: int, answer: str = "2") -> dict[str, object]:
    sentence = f"Ana gave Bo {number} plums because _ was hungry."
    return {"sentence": sentence, "option1": "Ana", "option2": "Bo", "answer": answer, "qID": str(number)}


def hellaswag(number: int, label: str = "1", **changes: str) -> dict[str, object]:
    row = {
        "ind": number,
        "activity_label": "Baking",
        "ctx_a": f"A man opens oven {number}.",
        "ctx_b": "he",
        "label": label,
    }
    return {**row, "endings": ["sits [substeps] down.", "takes bread out.", "it.", "sings."], **changes}


def test_arc_zero_shot(composed: Compose, tmp_path: Path) -> None:
    write(tmp_path, test=[arc(1), arc(2, "4", "1234"), arc(3, "E", "ABCDE")])
    questions = ask(composed, tmp_path, "arc_challenge", "dataset.protocol=base0")
    expected = said(" choice 0 of 1", " choice 1 of 1", " choice 2 of 1", context="Question: Question 1?\nAnswer:")
    assert candidates(questions) == expected
    assert [(s.labels, s.target) for s in questions.samples[1:]] == [(tuple("1234"), "4"), (tuple("ABCDE"), "E")]


def test_arc_shots_are_answered_blocks_between_blank_lines(composed: Compose, tmp_path: Path) -> None:
    write(tmp_path, test=[arc(1)], train=[arc(n, "A") for n in range(10, 40)])
    context = candidates(ask(composed, tmp_path, "arc_challenge"))[0].context
    *shots, last = context.split("\n\n")
    assert last == "Question: Question 1?\nAnswer:"
    assert len(set(shots)) == 25
    for shot in shots:
        number = int(shot.removeprefix("Question: Question ").split("?")[0])
        assert shot == f"Question: Question {number}?\nAnswer: choice 0 of {number}"


def test_mmlu_to_the_character(composed: Compose, tmp_path: Path) -> None:
    dev = [mmlu(n, subject) for subject in ("marketing", "world_religions") for n in (*range(7, 0, -1),)]
    write(tmp_path, test=[mmlu(50), mmlu(51, "marketing")], dev=dev)
    questions = ask(composed, tmp_path, "mmlu")

    def block(n: int) -> str:
        return f"Why {n}?\nA. w{n}\nB. x{n}\nC. y{n}\nD. z{n}\nAnswer:"

    shots = "".join(f"{block(n)} C\n\n" for n in (7, 6, 5, 4, 3))
    header = "The following are multiple choice questions (with answers) about {}.\n\n"
    expected = header.format("world religions") + shots + block(50)
    assert candidates(questions) == said(" A", " B", " C", " D", context=expected)
    assert candidates(questions, 1)[0].context == header.format("marketing") + shots + block(51)
    assert [s.group for s in questions.samples] == ["world_religions", "marketing"]
    zero = ask(composed, tmp_path, "mmlu", "dataset.protocol=base0")
    assert candidates(zero)[0].context == header.format("world religions") + block(50)


def test_hellaswag_removes_marks_and_capitalizes(composed: Compose, tmp_path: Path) -> None:
    wikihow = hellaswag(
        2, ctx_a="[header] How to rest [title] Sit. [step] Breathe  in.", ctx_b="the Man", activity_label=" Health"
    )
    write(tmp_path, validation=[hellaswag(1), wikihow, hellaswag(3, ctx_a="Done [step]", ctx_b="")])
    questions = ask(composed, tmp_path, "hellaswag", "dataset.protocol=base0")
    assert candidates(questions) == said(
        " sits down.", " takes bread out.", " it.", " sings.", context="Baking: A man opens oven 1. He"
    )
    assert candidates(questions, 1)[0].context == "Health: How to rest. Sit. Breathe in. The man"
    # A blank that a mark left at the end of the context moves to the continuation, as in lm-eval.
    assert candidates(questions, 2)[1] == Candidate(context="Baking: Done", continuation="  takes bread out.")
    assert [s.target for s in questions.samples] == ["B", "B", "B"]
    assert questions.samples[0].choices[0] == "sits down."


def test_hellaswag_shots(composed: Compose, tmp_path: Path) -> None:
    write(tmp_path, validation=[hellaswag(1)], train_fewshot=[hellaswag(n) for n in range(10, 21)])
    *shots, last = candidates(ask(composed, tmp_path, "hellaswag"))[0].context.split("\n\n")
    assert last == "Baking: A man opens oven 1. He"
    assert len(set(shots)) == 10
    assert all(s.startswith("Baking: A man opens oven") and s.endswith(". He takes bread out.") for s in shots)


def test_winogrande_asks_for_the_same_rest_after_each_option(composed: Compose, tmp_path: Path) -> None:
    write(tmp_path, dev=[winogrande(1), {**winogrande(2), "sentence": "It was _'s  turn. "}])
    questions = ask(composed, tmp_path, "winogrande", "dataset.protocol=base0")
    assert candidates(questions) == (
        Candidate(context="Ana gave Bo 1 plums because Ana", continuation=" was hungry."),
        Candidate(context="Ana gave Bo 1 plums because Bo", continuation=" was hungry."),
    )
    assert candidates(questions, 1)[0] == Candidate(context="It was Ana", continuation=" 's  turn.")
    assert (questions.samples[0].labels, questions.samples[0].target) == (("1", "2"), "2")


def test_winogrande_shots_are_answered_sentences(composed: Compose, tmp_path: Path) -> None:
    write(tmp_path, validation=[winogrande(1)], train_xs=[winogrande(n, "1") for n in range(10, 16)])
    found = candidates(ask(composed, tmp_path, "winogrande"))
    *shots, last = found[0].context.split("\n\n")
    assert last == "Ana gave Bo 1 plums because Ana"
    assert len(set(shots)) == 5
    for shot in shots:
        assert shot.startswith("Ana gave Bo 1") and shot.endswith(" plums because Ana was hungry.")
    assert found[1].context == found[0].context.removesuffix("Ana") + "Bo"


def test_shots_are_the_same_for_every_question_seed_limit_and_file_order(composed: Compose, tmp_path: Path) -> None:
    rows = [arc(n) for n in range(100, 160)]
    write(tmp_path, test=[arc(n) for n in range(9)], train=rows)
    asked = task(composed, tmp_path, "arc_challenge")
    first = asked.questions(None, 0, 1)
    heads = {candidates(first, n)[0].context.rpartition("\n\n")[0] for n in range(9)}
    assert len(heads) == 1
    assert asked.questions(2, 7, 1).prompt.sha256() == first.prompt.sha256()
    write(tmp_path, train=[*reversed(rows), arc(120)])
    assert asked.questions(None, 0, 1).prompt.sha256() == first.prompt.sha256()
    other = ask(composed, tmp_path, "arc_challenge", "dataset.protocols.base.prompt.shots.seed=1")
    assert candidates(other)[0].context != candidates(first)[0].context


def test_what_the_shots_say_is_in_the_prompts_hash(composed: Compose, tmp_path: Path) -> None:
    write(tmp_path, test=[mmlu(1)], dev=[mmlu(n) for n in range(10, 15)])
    before = ask(composed, tmp_path, "mmlu").prompt.sha256()
    write(tmp_path, dev=[mmlu(n) for n in range(10, 14)] + [mmlu(14, answer=0)])
    assert ask(composed, tmp_path, "mmlu").prompt.sha256() != before


def test_a_question_is_never_among_its_own_shots(composed: Compose, tmp_path: Path) -> None:
    write(tmp_path, test=[arc(n) for n in range(9)], train=[arc(n) for n in range(34)])
    questions = task(composed, tmp_path, "arc_challenge").questions(1, 0, 1)  # not limited to what is asked
    head = candidates(questions)[0].context.rpartition("\n\n")[0]
    assert not any(f"Question {n}?" in head for n in range(9))
    write(tmp_path, train=[arc(n) for n in range(33)])
    with pytest.raises(DatasetError, match="25 worked examples are needed and train has 24 rows"):
        ask(composed, tmp_path, "arc_challenge")


def test_bad_rows_are_no_shots_unless_the_rows_are_promised_as_they_are(
    composed: Compose, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, test=[arc(1)], train=[arc(9, ""), *(arc(n) for n in range(10, 35))])
    assert candidates(ask(composed, tmp_path, "arc_challenge"))[0].context.count("Answer:") == 26
    assert "1 rows are no worked examples; the first: " in caplog.text
    first = "dataset.protocols.base.prompt.shots.pick=first"
    with pytest.raises(DatasetError, match=r"train\.jsonl:1: `answerKey` is empty"):
        ask(composed, tmp_path, "arc_challenge", first)
    write(tmp_path, train=[arc(9, "")])
    with pytest.raises(DatasetError, match=r"train\.jsonl:1: `answerKey` is empty"):
        ask(composed, tmp_path, "arc_challenge")


def test_too_few_shots_of_a_subject_are_refused(composed: Compose, tmp_path: Path) -> None:
    write(tmp_path, test=[mmlu(1)], dev=[*(mmlu(n) for n in range(10, 14)), *(mmlu(n, "virology") for n in range(9))])
    with pytest.raises(DatasetError, match="5 worked examples are needed and dev of world_religions has 4 rows"):
        ask(composed, tmp_path, "mmlu")


REFUSED = [
    ("arc_challenge", {**arc(1), "question": " "}, "`question` must be a non-empty string"),
    ("arc_challenge", arc(1, "D"), "`answerKey` must be one of A, B, C or a position from 0, got 'D'"),
    ("arc_challenge", arc(1, ""), "`answerKey` is empty: this split has no answers"),
    ("arc_challenge", arc(1, labels="AAB"), r"`choices.label` must name each of the 3 choices once"),
    ("arc_challenge", {**arc(1), "choices": None}, "`choices` must be a list of two or more strings, got None"),
    ("arc_challenge", {**arc(1), "choices": {"text": ["a"], "label": ["A"]}}, "`choices.text` must be a list of two"),
    ("mmlu", {**mmlu(1), "answer": 4}, "`answer` must be one of A, B, C, D or a position from 0, got 4"),
    ("mmlu", {**mmlu(1), "answer": True}, "`answer` must be one of"),
    ("mmlu", {**mmlu(1), "answer": -1}, "`answer` is empty"),
    ("mmlu", {**mmlu(1), "choices": ["a", ""]}, "`choices` must hold non-empty strings only"),
    ("mmlu", {**mmlu(1), "subject": None}, "`subject` must be a non-empty string, got None"),
    ("hellaswag", hellaswag(1, ""), "`label` is empty: this split has no answers"),
    ("hellaswag", hellaswag(1, "4"), "`label` must be one of A, B, C, D or a position from 0, got 4"),
    ("hellaswag", {**hellaswag(1), "ctx_b": None}, "`ctx_b` must be a string, got None"),
    ("hellaswag", {**hellaswag(1), "endings": "abcd"}, "`endings` must be a list of two or more strings"),
    ("winogrande", winogrande(1, "3"), "`answer` must be one of 1, 2"),
    ("winogrande", {**winogrande(1), "option2": 7}, "`option2` must be a non-empty string, got 7"),
    ("winogrande", {**winogrande(1), "sentence": "No gap."}, "the question needs a gap `_`"),
    ("winogrande", {**winogrande(1), "sentence": "At the end _ "}, "the question needs a gap `_` with text after it"),
]


@pytest.mark.parametrize(("name", "row", "message"), REFUSED)
def test_a_bad_row_is_refused_with_its_field(
    composed: Compose, tmp_path: Path, name: str, row: dict[str, object], message: str
) -> None:
    write(tmp_path, test=[row], validation=[row])
    with pytest.raises(DatasetError, match=message):
        ask(composed, tmp_path, name, "dataset.protocol=base0")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["dataset.protocols.base.prompt.shots.split=test"], "the questions are from this split"),
        (
            ["dataset.protocols.base.prompt.shots.count=0"],
            r"base\.prompt\.shots\.count=0: must be 1 or more",
        ),
        (
            ["dataset.protocols.base.prompt.shots.cuont=4"],
            r"shots\.cuont: there is no such setting; did you mean count\?",
        ),
        (["~dataset.protocols.base.prompt.shots.split"], r"base\.prompt\.shots\.split: missing"),
        (["dataset.protocols.base.prompt.shots.pick=last"], "shots.pick=last: expected one of seeded, first"),
        (["dataset.protocols.base.prompt.shots=gsm8k_cot8"], "shots=gsm8k_cot8: choices take rows"),
        (
            ["dataset.protocols.base.prompt.shots.pick=seeded", "dataset.protocols.base.prompt.shots.skip=1"],
            "shots.skip=1: only with pick: first",
        ),
    ],
)
def test_settings_without_meaning_are_refused(composed: Compose, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        checks.check(composed("dataset=mmlu", *overrides))


def test_an_engine_without_log_probabilities_is_refused(composed: Compose) -> None:
    cfg = composed("dataset=mmlu")
    cfg.engine._target_ = "scripted.TextEngine"
    with pytest.raises(ConfigError, match=r"mmlu asks for log-probabilities, which TextEngine does not give"):
        build.engine(cfg)
