"""A model that always says the same has the share of the rows for which that is right, and one that says nothing none.

The shares are counted from the rows without the scorers. Published rows are read in place, where they are.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
import yaml

from dataset_runs import CASES
from support import CHECKOUT, Compose, flat_response
from wattrack.job import grading
from wattrack.metrics.rows import METRICS
from wattrack.results.summary import Metrics, quality
from wattrack.schema import Record, Sample
from wattrack.scorers.wattbot import is_blank
from wattrack.settings import build
from wattrack.tasks.task import Task

DATA = CHECKOUT.parent / "shared" / "data"
STYLES = {
    (file.stem, name): protocol["prompt"]["_target_"].rpartition(".")[2]
    for file in sorted((CHECKOUT / "conf" / "dataset").glob("*.yaml"))
    for name, protocol in yaml.safe_load(file.read_text("utf-8"))["protocols"].items()
}
COMPARED = ("Choices", "Letters", "Partial")
UNSCORED = ("perf", "mt_bench")
WRITTEN = [
    pair for pair, style in STYLES.items() if style not in COMPARED and pair[0] in CASES and pair[0] not in UNSCORED
]
FEW = {"math": 20, "math500": 20, "humaneval": 5, "mbpp": 5, "mbpp_sanitized": 5}
"""Questions whose values are compared or whose programs run."""


def asked(composed: Compose, name: str, protocol: str, limit: int | None = 100) -> tuple[Task, list[Sample]]:
    case = CASES[name]
    overrides = [f"dataset={name}", f"dataset.protocol={protocol}", "sandbox.allow=true", *case.settings]
    if case.folder is not None:
        if not (DATA / case.folder).is_dir():
            pytest.skip(f"the published rows of {name} are not beside the checkout")
        overrides.append(f"dataset.data_dir={DATA / case.folder}")
    task = build.task(composed(*(o for o in overrides if "protocols.oracle" not in o)))
    return task, task.samples(limit, 0)[0]


def said(task: Task, samples: Sequence[Sample], text: str | Callable[[Sample], str]) -> tuple[Metrics, list[Record]]:
    responses = [
        flat_response(
            sample_id=s.id, repeat=0, text=text if isinstance(text, str) else text(s), finish_reason="stop",
            input_tokens=1, output_tokens=1,
        )
        for s in samples
    ]  # fmt: skip
    records = grading.records(samples, responses, task.score)
    own = task.aggregate(records) if task.aggregate is not None else {}
    return {**quality(records), **{f"quality/{k}": v for k, v in own.items()}}, list(records)


def shares(name: str, samples: Sequence[Sample]) -> dict[str, float]:
    """What a model that says nothing gets all the same, by the published rules of the benchmark."""
    if name == "bfcl":
        nothing = [s for s in samples if "irrelevance" in str(s.group)]
        own = {f"bfcl_{s.group}": 1.0 for s in nothing}
        return {"bfcl_accuracy": len(nothing) / len(samples), "bfcl_irrelevance_both": 1.0, **own}
    if name == "wattbot":
        blank = sum(is_blank(str(s.data["answer_value"])) for s in samples) / len(samples)
        weighted = 0.75 * blank + 0.15 * blank + 0.10
        return {"wattbot_value": blank, "wattbot_ref": blank, "wattbot_na_recall": 1.0, "wattbot_overall": weighted,
                "wattbot_weighted": weighted}  # fmt: skip
    return {}


@pytest.mark.parametrize(("name", "protocol"), WRITTEN)
def test_an_empty_answer_is_wrong_and_counted(composed: Compose, name: str, protocol: str) -> None:
    task, samples = asked(composed, name, protocol, FEW.get(name, 100))
    found, records = said(task, samples, "")
    assert found["quality/empty_rate"] == 1
    # A reply without a call is read: as no call.
    assert found["quality/extraction_failure_rate"] == (0 if name in ("bfcl", "tool_calls") else 1)
    expected = {f"quality/{k}": pytest.approx(v) for k, v in shares(name, samples).items()}
    expected["quality/score"] = expected.get(f"quality/{task.headline}", 0)
    for metric, value in found.items():
        if METRICS[metric].better == "higher" and value is not None:
            assert value == expected.get(metric, 0), metric
    assert len(records) == len(samples)


def same_target(samples: Sequence[Sample]) -> tuple[str, float]:
    """(the most frequent target, the share of the rows that have it)."""
    target, count = Counter(s.target.replace(",", "") for s in samples).most_common(1)[0]
    return target, count / len(samples)


@pytest.mark.parametrize(
    ("name", "protocol", "said_as"),
    [
        ("arithmetic", "chat", "So.\n#### {}"),
        ("gsm8k", "base", " So. The answer is {}."),
        ("gsm8k", "chat", "The answer is {}"),
        ("bbh", "cot", " So the answer is {}."),
        ("bbh", "direct", " {}"),
    ],
)
def test_a_constant_answer_has_the_share_of_its_target(
    composed: Compose, name: str, protocol: str, said_as: str
) -> None:
    task, samples = asked(composed, name, protocol, 600)
    target, share = same_target(samples)
    found, _ = said(task, samples, said_as.format(target))
    assert 0 < share < 0.5
    assert found["quality/exact_match_strict"] == pytest.approx(share)
    if name != "bbh":  # there "yes" is also right for "Yes"
        assert found["quality/exact_match_flexible"] == pytest.approx(share)


def test_one_number_in_words_is_one_of_them_all(composed: Compose) -> None:
    task, samples = asked(composed, "number_words", "chat", None)
    assert len(samples) == 10_001
    found, _ = said(task, samples, "The answer is 7")
    assert found["quality/score"] == pytest.approx(1 / 10_001)


@pytest.mark.parametrize("name", [n for (n, p), style in STYLES.items() if p == "base" and style in COMPARED])
def test_a_constant_letter_is_near_chance(composed: Compose, name: str) -> None:
    task, samples = asked(composed, name, "chat", 1_000)
    for label in samples[0].labels:
        share = sum(s.target == label for s in samples) / len(samples)
        found, _ = said(task, samples, f"Answer: {label}")
        assert found["quality/letter_strict"] == found["quality/letter_flexible"] == pytest.approx(share)
        assert share == pytest.approx(1 / len(samples[0].labels), abs=0.06)


@pytest.mark.parametrize(
    ("name", "protocol", "said_as"), [("math500", "chat", "\\boxed{{{}}}"), ("math500", "base", "{}")]
)
def test_a_constant_value_is_right_where_it_is_the_answer(
    composed: Compose, name: str, protocol: str, said_as: str
) -> None:
    task, samples = asked(composed, name, protocol, 20)
    target = "Final Answer: The final answer is ${}$." if protocol == "base" else "{}"
    _, records = said(task, samples, said_as.format(target.format(samples[0].target)))
    right = {r.id for r in records if r.score == 1}
    assert {s.id for s in samples if s.target == samples[0].target} <= right
    assert len(right) <= 4


@pytest.mark.parametrize("name", ["humaneval", "mbpp", "mbpp_sanitized"])
def test_one_program_solves_one_problem(composed: Compose, name: str) -> None:
    task, samples = asked(composed, name, "base", 5)
    _, records = said(task, samples, samples[0].target)
    assert [r.score for r in records] == [1, 0, 0, 0, 0]


def test_an_empty_object_is_json_and_keeps_to_the_schemas_that_take_it(composed: Compose) -> None:
    from jsonschema import Draft202012Validator

    task, samples = asked(composed, "json_output", "free")
    found, records = said(task, samples, "{}")
    taken = [Draft202012Validator(s.data["schema"]).is_valid({}) for s in samples]  # type: ignore[arg-type]
    assert found["quality/json_valid_strict"] == 1
    assert [r.metrics["schema_valid"] for r in records] == taken
    assert sum(taken) < len(taken)


@pytest.mark.parametrize("name", ["bfcl", "tool_calls"])
def test_who_never_calls_is_right_where_no_call_is_expected(composed: Compose, name: str) -> None:
    task, samples = asked(composed, name, "prompt")
    found, _ = said(task, samples, "I cannot do that.")
    if name == "tool_calls":
        assert (found["quality/irrelevance_accuracy"], found["quality/score"], found["quality/call_f1"]) == (1, 0, 0)
    else:
        assert found["quality/score"] == pytest.approx(shares(name, samples)["bfcl_accuracy"])


def test_who_always_gives_up_has_no_first_step(composed: Compose) -> None:
    task, samples = asked(composed, "toolllama", "offline_step")
    found, _ = said(task, samples, 'Action: Finish\nAction Input: {"return_type": "give_up_and_restart"}')
    assert (found["quality/toolbench_gave_up"], found["quality/toolbench_offline"]) == (1, 0)


def test_who_always_leaves_blank_is_right_where_nothing_can_be_said(composed: Compose) -> None:
    task, samples = asked(composed, "wattbot", "closed")
    found, _ = said(task, samples, json.dumps({"answer_value": "is_blank", "ref_id": ["is_blank"]}))
    share = shares("wattbot", samples)["wattbot_value"]
    assert found["quality/wattbot_value_strict"] == found["quality/score"] == pytest.approx(share)
    assert found["quality/wattbot_na_recall_strict"] == 1


@pytest.mark.parametrize("protocol", ["chat", "base0"])
def test_the_right_choice_of_gpqa_is_in_every_place_alike(composed: Compose, protocol: str) -> None:
    task = build.task(composed("dataset=gpqa", f"dataset.protocol={protocol}"))
    wrong = {f"Incorrect Answer {i}": f"{i} m" for i in (1, 2, 3)}
    rows = [
        {"Question": f"How far is {n}?", "Correct Answer": "9 m", **wrong, "High-level domain": "Physics"}
        for n in range(400)
    ]
    samples = [task.to_sample(str(n), row) for n, row in enumerate(rows)]
    for place in range(4):
        share = sum(s.labels.index(s.target) == place for s in samples) / len(samples)
        logprobs = tuple(-1.0 - (i != place) for i in range(4)) if protocol == "base0" else ()
        response = flat_response(
            sample_id="", repeat=0, text=f"Answer: {'ABCD'[place]}", finish_reason="stop", input_tokens=1,
            output_tokens=1, logprobs=logprobs,
        )  # fmt: skip
        assert sum(task.score(s, response).value for s in samples) / len(samples) == pytest.approx(share)
        assert share == pytest.approx(0.25, abs=0.07)
