"""BIG-Bench Hard: the authors' prompts, how answers are read, and the 6,511 published rows."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import CHECKOUT, Compose, flat_response
from wattrack.errors import ConfigError, DatasetError
from wattrack.metrics.families.exact_match import BBH_TASKS
from wattrack.schema import Request, Response, Sample
from wattrack.settings import build, checks
from wattrack.tasks.bbh import score, worked_examples
from wattrack.tasks.task import Task

DATA = CHECKOUT.parent / "shared" / "data" / "bbh"

PROMPT = """Some warning.
-----
Say whether a number is even.

Q: Is 4 even?
Options:
(A) yes
(B) no
A: Let's think step by step.
4 = 2 * 2. So the answer is (A).

Q: Is 5 even?
A: Let's think step by step. 5 is odd. So the answer is no."""


def response(text: str, finish: str = "stop") -> Response:
    reason = "length" if finish == "length" else "stop"
    return flat_response(sample_id="q", repeat=0, text=text, finish_reason=reason, input_tokens=1, output_tokens=1)


def graded(text: str, target: str, *, reasoning: bool = True, finish: str = "stop") -> tuple[float, float, str | None]:
    """(strict, flexible, answer)."""
    sample = Sample(id="q", question="?", target=target, group="snarks")
    verdict = score(sample, response(text, finish), reasoning=reasoning)
    assert verdict.metrics["bbh_snarks"] == verdict.metrics["exact_match_strict"] == verdict.value
    assert verdict.metrics.get("format_compliance") == (("answer is " in text) if reasoning else None)
    return verdict.value, verdict.metrics["exact_match_flexible"], verdict.answer


GOLDEN = [
    # output, target, strict, flexible, answer
    (" It is. So the answer is (A).", "(A)", 1, 1, "(A)"),
    ("So the answer is A.", "(A)", 0, 1, "A"),
    ("So the answer is **(a) yes**", "(A)", 0, 1, "**(a) yes**"),
    ("So the answer is (B).", "(A)", 0, 0, "(B)"),
    ("So the answer is ambiguous.", "(A)", 0, 0, "ambiguous"),  # a word is no letter
    ("So the answer is ] } ].", "] } ]", 1, 1, "] } ]"),
    ("So the answer is ]}].", "] } ]", 0, 1, "]}]"),
    ("So the answer is ] ] }.", "] } ]", 0, 0, "] ] }"),
    ("So the answer is yes.", "Yes", 0, 1, "yes"),
    ("So the answer is -219.", "-219", 1, 1, "-219"),
    ("So the answer is arson, newt, quiz.", "arson newt quiz", 0, 1, "arson, newt, quiz"),
    ("So the answer is Quiet Queue.\nQuite.", "Quiet Queue", 1, 1, "Quiet Queue"),  # a capital Q ends nothing
    ("the answer is No. Wait, the answer is Yes.", "Yes", 1, 1, "Yes"),
    ("I think\nYes", "Yes", 0, 1, "Yes"),
    ("So the answer is", "Yes", 0, 0, "So the answer is"),
    ("", "Yes", 0, 0, None),
    (".", "Yes", 0, 0, None),
]


@pytest.mark.parametrize(("text", "target", "strict", "flexible", "answer"), GOLDEN)
def test_golden_rows(text: str, target: str, strict: int, flexible: int, answer: str | None) -> None:
    assert graded(text, target) == (strict, flexible, answer)


def test_direct_answers_are_the_first_line() -> None:
    assert graded(" (A).\nBecause", "(A)", reasoning=False) == (1, 1, "(A)")
    assert graded(" yes\n", "Yes", reasoning=False) == (0, 1, "yes")
    assert graded("", "Yes", reasoning=False) == (0, 0, None)


def test_reasoning_that_was_cut_off_has_no_answer() -> None:
    assert graded("so far\nYes", "Yes", finish="length") == (0, 0, None)
    assert graded("So the answer is Yes. And", "Yes", finish="length")[2] == "Yes. And"


@given(st.text(max_size=200), st.sampled_from(["(A)", "Yes", "] }", "12"]), st.booleans())
def test_any_text_gets_a_verdict(text: str, target: str, reasoning: bool) -> None:
    strict, flexible, _ = graded(text, target, reasoning=reasoning)
    assert strict <= flexible


def test_the_authors_prompt_with_and_without_reasoning(tmp_path: Path) -> None:
    (tmp_path / "even.txt").write_text(PROMPT, "utf-8")
    assert worked_examples("even", folder=tmp_path, reasoning=True) == PROMPT.split("-----\n")[1]
    assert worked_examples("even", folder=tmp_path, reasoning=False) == (
        "Say whether a number is even.\n\nQ: Is 4 even?\nOptions:\n(A) yes\n(B) no\nA: (A)\n\nQ: Is 5 even?\nA: no"
    )


def test_missing_or_foreign_prompts_are_refused_in_one_line(tmp_path: Path) -> None:
    for folder in (None, tmp_path):
        with pytest.raises(DatasetError, match=r"snarks\.txt is not in .*dataset\.prompts_dir=") as refusal:
            worked_examples("snarks", folder=folder, reasoning=True)
        assert "\n" not in str(refusal.value)
    (tmp_path / "snarks.txt").write_text("Just a description.", "utf-8")
    with pytest.raises(DatasetError, match=r"snarks\.txt: expected a description and examples"):
        worked_examples("snarks", folder=tmp_path, reasoning=True)


def two_tasks(composed: Compose, folder: Path, *overrides: str) -> Task:
    for task in ("snarks", "navigate"):
        rows = [{"input": f"{task} {i}?", "target": "Yes"} for i in range(3)]
        # The authors' own layout of the rows.
        (folder / f"{task}.json").write_text(json.dumps({"canary": "x", "examples": rows}), "utf-8")
    cfg = composed("dataset=bbh", "dataset.parts=[snarks,navigate]", *overrides)
    cfg.dataset.data_dir = str(folder)
    checks.check(cfg)
    return build.task(cfg)


def test_each_task_is_asked_after_its_own_prompt(composed: Compose, tmp_path: Path) -> None:
    prompts = tmp_path / "authors"
    prompts.mkdir()
    for name in ("snarks", "navigate"):
        (prompts / f"{name}.txt").write_text(PROMPT.replace("Say", f"For {name} say"), "utf-8")
    asked = two_tasks(composed, tmp_path, f"dataset.prompts_dir={prompts}", "dataset.rows=6")
    questions = asked.questions(None, 0, 1)
    assert sorted(s.id for s in questions.samples) == [f"{t}-{i:05d}" for t in ("navigate", "snarks") for i in range(3)]
    for sample, request in zip(questions.samples, questions.requests, strict=True):
        assert isinstance(request, Request)
        assert isinstance(request.prompt, str)
        assert request.prompt.startswith(f"For {sample.group} say")
        assert request.prompt.endswith(f"\n\nQ: {sample.question}\nA: Let's think step by step.")
    before = questions.prompt.sha256()
    (prompts / "snarks.txt").write_text(PROMPT, "utf-8")
    assert asked.questions(None, 0, 1).prompt.sha256() != before


def test_an_id_means_the_same_question_whichever_parts_are_asked(composed: Compose, tmp_path: Path) -> None:
    both, _ = two_tasks(composed, tmp_path).samples(None, 0)
    one, _ = two_tasks(composed, tmp_path, "dataset.parts=[navigate]").samples(None, 0)
    assert {s.id: s for s in one}.items() <= {s.id: s for s in both}.items()


def test_a_missing_part_is_named(composed: Compose, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"word_sorting\.jsonl"):
        two_tasks(composed, tmp_path, "dataset.parts=[snarks,word_sorting]").samples(None, 0)


def test_a_preamble_needs_a_completion(composed: Compose) -> None:
    with pytest.raises(ConfigError, match=r"cot\.prompt\.preamble: there is no such setting"):
        checks.check(composed("dataset=bbh", "dataset.protocols.cot.prompt._target_=wattrack.prompts.chat.Chat"))


def test_every_part_has_its_metric(composed: Compose) -> None:
    assert tuple(composed("dataset=bbh").dataset.parts) == BBH_TASKS


@pytest.mark.skipif(not DATA.is_dir(), reason="the published rows are not beside the checkout")
@pytest.mark.parametrize("protocol", ["cot", "direct"])
def test_every_published_row_becomes_a_question_that_can_be_right(
    composed: Compose, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    task = build.task(composed("dataset=bbh", f"dataset.data_dir={DATA}", f"dataset.protocol={protocol}"))
    questions = task.questions(None, 0, 1)
    assert not caplog.records
    sizes = Counter(s.group for s in questions.samples)
    assert (len(questions.samples), len(sizes)) == (6511, 27)
    assert {t: n for t, n in sizes.items() if n != 250} == {
        "causal_judgement": 187,
        "penguins_in_a_table": 146,
        "snarks": 178,
    }
    for sample, request in zip(questions.samples, questions.requests, strict=True):
        assert isinstance(request, Request)
        assert isinstance(request.prompt, str)
        assert request.prompt.count(f"Q: {sample.question}\n") == 1, "never its own worked example"
        assert "canary" not in request.prompt
        right = f" So the answer is {sample.target}." if protocol == "cot" else f" {sample.target}"
        assert task.score(sample, response(right)).value == 1
        assert task.score(sample, response(f"{right[:-2]}#")).value == 0
