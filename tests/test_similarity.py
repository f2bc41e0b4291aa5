"""Answers compared with reference texts after the job: what is compared, what is left out, and who compared it."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hydra.core.global_hydra import GlobalHydra

from engines.tiny_embedder import build_embedder
from support import flat_response
from test_job import runs
from wattrack import cli
from wattrack.errors import DatasetError
from wattrack.job import grading
from wattrack.rescoring.embedder import Embedder
from wattrack.rescoring.similarity import compare, reference, require_references
from wattrack.results.summary import quality
from wattrack.schema import Response, Sample, Score

Runner = Callable[..., int]
ROWS = [
    {"id": "same", "prompt": "Where?", "reference": "a cat sits on the mat"},
    {"id": "other", "prompt": "Who?", "reference": "dog"},
    {"id": "number", "prompt": "How many?", "reference": "12"},
    {"id": "open", "prompt": "Tell me."},
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_embedder(tmp_path_factory.mktemp("embedder") / "model")


def sample(name: str, target: str, **data: object) -> Sample:
    return Sample(id=name, question="?", target=target, data=data)


def answer(name: str, text: str, repeat: int = 0, **changes: object) -> Response:
    given: dict[str, object] = {"finish_reason": "stop", "input_tokens": 1, "output_tokens": 1, **changes}
    return flat_response(sample_id=name, repeat=repeat, text=text, **given)  # type: ignore[arg-type]


def test_the_reference_is_a_text_and_the_turns_own() -> None:
    assert reference(sample("q", "a dog")) == "a dog"
    assert [reference(sample("q", text)) for text in ("", " ", "12", "-1,200.5")] == [None] * 4
    turns = [sample("q", "", references=["first", "second"], turn=turn) for turn in (1, 2)]
    assert [reference(turn) for turn in turns] == ["first", "second"]
    assert reference(sample("q", "", references=[], turn=2)) is None
    with pytest.raises(DatasetError, match="gsm8k/base@2 has no reference texts"):
        require_references("gsm8k/base@2", False, turns)
    with pytest.raises(DatasetError, match="none of the 1 questions of mine/chat@1 has a text"):
        require_references("mine/chat@1", True, [sample("q", "12")])


def test_failed_and_empty_answers_have_no_similarity(checkpoint: Path) -> None:
    samples = [sample("cat", "a cat sits on the mat"), sample("dog", "dog runs"), sample("number", "12")]
    responses = [
        answer("cat", "<think>the dog runs</think> a cat sits on the mat\n"),
        answer("cat", "the red house", repeat=1),
        answer("dog", "a dog runs 12 12 12 12"),
        answer("dog", "", repeat=1, error="lost", finish_reason="error"),
        answer("dog", " \n", repeat=2),
        answer("dog", "<think>dog runs", repeat=3),
        answer("number", "12"),
    ]
    scored = grading.records(samples, responses, lambda s, r: Score(value=1.0, answer=r.text, metrics={"acc": 1.0}))
    embedder = Embedder(model_id=str(checkpoint), revision="main", device="cpu")
    found = compare(embedder, samples, responses, scored)
    alike = [record.metrics.get("similarity_mean") for record in found.records]
    assert alike[0] == pytest.approx(1.0, abs=1e-5)
    assert alike[1] is not None and alike[2] is not None and alike[1] < 0.999
    assert alike[3:] == [None] * 4
    assert [record.metrics.get("similarity_truncated_rate") for record in found.records[:4]] == [0, 0, 1, None]
    assert found.n == 3
    used = {"model_id": str(checkpoint), "revision": "local folder", "pooling": "mean", "normalised": True}
    assert json.loads(found.embedder) == {**used, "max_tokens": 8}
    metrics = quality(found.records)
    # Repeats of a question are averaged first, whichever of them have a similarity.
    assert metrics["quality/similarity_mean"] == pytest.approx(((alike[0] + alike[1]) / 2 + alike[2]) / 2)
    assert metrics["quality/score"] == quality(scored)["quality/score"] == 1
    assert [r.score for r in found.records] == [r.score for r in scored]


def test_answers_that_all_failed_are_none(checkpoint: Path) -> None:
    responses = [answer("cat", "")]
    records = grading.records([sample("cat", "a cat")], responses, lambda s, r: Score(value=0.0, answer=None))
    embedder = Embedder(model_id=str(checkpoint), revision="main", device="cpu")
    found = compare(embedder, [sample("cat", "a cat")], responses, records)
    assert (found.n, quality(found.records).get("quality/similarity_mean")) == (0, None)


@pytest.mark.slow
def test_similarities_are_a_new_run_with_the_embedders_name(
    run_here: Runner, outputs: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (outputs / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), "utf-8")
    said = ("engine._target_=scripted.TextEngine", "+engine.text='A cat sits on the mat'")
    assert run_here("model=demo_xs", "dataset=prompts", f"dataset.data_dir={outputs}", "probe_questions=0", *said) == 0
    GlobalHydra.instance().clear()
    (original,) = runs(outputs, "prompts")
    capsys.readouterr()
    assert cli.main(["score", original.info.run_id, f"similarity.model_id={checkpoint}"]) == 0
    printed = capsys.readouterr().out
    assert "0 of 4 answers are judged differently" in printed
    assert f"similarity.model_id: absent -> {checkpoint}\n" in printed
    assert "over 2 of 4 answers; others failed, are empty or have no reference text; 0% were not read" in printed

    compared = runs(outputs, "prompts")[0]
    assert compared.data.tags["wattrack.rescored_from"] == original.info.run_id
    embedder = json.loads(compared.data.tags["similarity.conditions"])
    assert (embedder["model_id"], embedder["revision"]) == (str(checkpoint), "local folder")
    assert compared.data.params["similarity/pooling"] == "mean"
    assert compared.data.params["similarity/resolved_revision"] == "local folder"
    assert compared.data.tags["wattrack.run_key"] != original.data.tags["wattrack.run_key"]
    assert compared.data.metrics["quality/score"] == original.data.metrics["quality/score"]
    assert compared.data.metrics["quality/similarity_n"] == 2
    frame = pd.read_parquet(Path(compared.data.tags["wattrack.output_dir"]) / "records.parquet").set_index("id")
    values = frame["metric/similarity_mean"]
    assert values["same"] == pytest.approx(1.0, abs=1e-5)
    assert values[["number", "open"]].isna().all()
    assert compared.data.metrics["quality/similarity_mean"] == pytest.approx(values.mean(), abs=1e-4)

    assert cli.main(["score", compared.info.run_id, f"similarity.model_id={checkpoint}"]) == 0
    assert "nothing differs" in capsys.readouterr().out


def test_a_run_compares_nothing(run_here: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("limit=2", "similarity.model_id=any") == 2
    assert "compared afterwards: wattrack score RUN similarity.model_id=" in capsys.readouterr().err
