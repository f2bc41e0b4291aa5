"""Scoring a finished job's answers again: what is logged, what is refused, and that no model is needed."""

import json
import logging
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from hydra.core.global_hydra import GlobalHydra
from mlflow.entities import Run
from omegaconf import OmegaConf

from support import CHECKOUT
from wattrack import cli
from wattrack.errors import ConfigError
from wattrack.journal import read_journal
from wattrack.rescoring.scoring import settings_now
from wattrack.runs.codec import write_records
from wattrack.runs.manifest import write_manifest
from wattrack.runs.read import load_run
from wattrack.settings.config import Config
from wattrack.tracking.series import rounded

MARKER = "dataset.protocols.chat.scorer.marker"


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Path]:
    """The folder of a real job of twelve questions, in a store of its own; its text was cut by a limit of 60 tokens."""
    root = tmp_path_factory.mktemp("job")
    (root / "mlruns").mkdir()
    shutil.copy(empty_store, root / "mlruns" / "mlflow.db")
    handlers = logging.getLogger().handlers[:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WATTRACK_ROOT", str(root))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        GlobalHydra.instance().clear()
        settings = (
            "limit=12",
            "probe_questions=0",
            "hardware.threads=1",
            "dataset.protocols.chat.prompt.max_new_tokens=60",
        )
        assert cli.run(["model=demo_xs", *settings]) == 0
        GlobalHydra.instance().clear()
        for opened in [h for h in logging.getLogger().handlers if h not in handlers]:
            logging.getLogger().removeHandler(opened)
            opened.close()
        (summary,) = (root / "multirun").rglob("summary.json")
        yield summary.parent


@pytest.fixture(autouse=True)
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing torch or transformers fails, as on a machine that has neither."""
    for name in ("torch", "transformers"):
        monkeypatch.setitem(sys.modules, name, None)


def jobs(job: Path) -> list[Run]:
    client = mlflow.MlflowClient(f"sqlite:///{job.parents[2]}/mlruns/mlflow.db")
    found = client.get_experiment_by_name("arithmetic")
    assert found is not None
    return list(client.search_runs([found.experiment_id], "tags.`wattrack.kind` = 'job'"))


def summary(folder: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads((folder / "summary.json").read_text("utf-8"))
    return content


def test_the_same_scorer_changes_nothing_and_logs_nothing(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = len(jobs(job))
    assert cli.main(["score", str(job)]) == 0
    printed = capsys.readouterr()
    assert "nothing differs" in printed.out
    assert len(printed.out.splitlines()) == 1
    assert len(jobs(job)) == before


def test_another_scorer_is_a_new_run_linked_to_the_old(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original = str(summary(job)["mlflow_run_id"])
    assert cli.main(["score", original, f"{MARKER}=is"]) == 0
    new = jobs(job)[0]
    assert new.data.tags["wattrack.rescored_from"] == original
    assert new.info.status == "FINISHED"
    # What the answers are, never what asking them cost.
    assert {name.partition("/")[0] for name in new.data.metrics} == {"answers", "quality"}
    assert new.data.metrics["quality/n"] == 12
    # Counted when the answers were generated: there is no tokenizer here.
    assert new.data.metrics["answers/thinking_tokens_mean"] == 0.0

    folder = Path(new.data.tags["wattrack.output_dir"])
    assert read_journal(folder / "responses.jsonl") == read_journal(job / "responses.jsonl")
    old, now = (pd.read_parquet(f / "records.parquet") for f in (job, folder))
    assert list(now["output"]) == list(old["output"])
    assert now["latency_s"].isna().all() and now["ttft_s"].isna().all()
    assert now["score"].mean() == pytest.approx(new.data.metrics["quality/score"])
    different = (
        (old["score"] != now["score"])
        | (old["answer"].fillna("") != now["answer"].fillna(""))
        | (old["metric/exact_match_flexible"] != now["metric/exact_match_flexible"])
        | (old["metric/format_compliance"] != now["metric/format_compliance"])
    )
    assert 0 < different.sum() == int(new.data.tags["wattrack.rescored_changed"])
    printed = capsys.readouterr().out
    assert f"{different.sum()} of 12 answers are judged differently" in printed
    assert "scorer.marker: #### -> is" in printed
    keys = {run.data.tags["wattrack.run_key"] for run in jobs(job)}
    assert len(keys) == len(jobs(job))

    # What was scored again can be scored again: with the marker of the YAML the old grades come back.
    assert cli.main(["score", str(folder)]) == 0
    back = jobs(job)[0]
    assert back.data.tags["wattrack.rescored_from"] == new.info.run_id
    assert back.data.metrics["quality/score"] == pytest.approx(old["score"].mean(), rel=1e-4)


@pytest.mark.slow
def test_a_new_version_alone_is_logged(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["score", str(job), "dataset.protocols.chat.version=3", "name=again"]) == 2
    assert "asks differently (prompt.max_new_tokens)" in capsys.readouterr().err
    same = copied(job, job.parents[2] / "same")
    config = (same / "config.yaml").read_text("utf-8")
    (same / "config.yaml").write_text(config.replace("max_new_tokens: 60", "max_new_tokens: 256"), "utf-8")
    assert cli.main(["score", str(same), "dataset.protocols.chat.version=3", "name=again"]) == 0
    assert "0 of 12" in capsys.readouterr().out
    assert jobs(job)[0].info.run_name == "again"
    assert jobs(job)[0].data.tags["wattrack.protocol"] == "arithmetic/chat@3"


def copied(job: Path, to: Path) -> Path:
    shutil.copytree(job, to)
    return to


def test_other_rows_are_refused_with_both_digests(
    job: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "test.jsonl").write_text('{"question": "1 + 1?", "answer": "#### 2"}\n' * 12, "utf-8")
    assert cli.main(["score", str(job), f"dataset.data_dir={tmp_path}"]) == 2
    error = capsys.readouterr().err
    dataset = summary(job)["dataset"]
    assert isinstance(dataset, dict)
    assert f"digest {dataset['digest']} then, " in error
    assert len(error.splitlines()) == 1


def test_another_prompt_is_refused(job: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = copied(job, tmp_path / "other")
    config = (other / "config.yaml").read_text("utf-8")
    (other / "config.yaml").write_text(config.replace("template: '{question}'", "template: 'Q: {question}'"), "utf-8")
    assert cli.main(["score", str(other)]) == 2
    assert (
        f"the prompt is not the one that was answered: hash {summary(job)['prompt_sha256']}" in capsys.readouterr().err
    )


def test_missing_and_damaged_answers_are_refused(
    job: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    cut = copied(job, tmp_path / "cut")
    data = (job / "responses.jsonl").read_bytes()
    (cut / "responses.jsonl").write_bytes(data[:-20])
    assert cli.main(["score", str(cut)]) == 2
    assert "holds 11 of 12 answers" in capsys.readouterr().err
    assert "cut off while being written" in caplog.text
    (cut / "responses.jsonl").write_bytes(b'{"text": 1}\n' + data)
    assert cli.main(["score", str(cut)]) == 2
    assert "responses.jsonl:1: missing" in capsys.readouterr().err
    (cut / "responses.jsonl").unlink()
    assert cli.main(["score", str(cut)]) == 2
    assert "no responses.jsonl" in capsys.readouterr().err


def shard(job: Path, to: Path, number: int, run_key: str | None = None) -> Path:
    """Every second answer of the job, from `number` on, in a folder of its own."""
    run = load_run(copied(job, to))
    identity = run.manifest.identity
    assert identity is not None
    lines = (job / "responses.jsonl").read_text("utf-8").splitlines(keepends=True)
    (to / "responses.jsonl").write_text("".join(lines[number::2]), "utf-8")
    ids = {json.loads(line)["sample_id"] for line in lines[number::2]}
    write_records(to / "records.parquet", [record for record in run.records if record.id in ids])
    write_manifest(
        to, replace(run.manifest, identity=replace(identity, run_key=identity.run_key if run_key is None else run_key))
    )
    return to


def test_settings_that_have_come_since_are_no_other_question() -> None:
    stored = load_run(CHECKOUT / "tests" / "fixtures" / "old_runs" / "arithmetic").cfg
    del stored.dataset.protocols.chat.prompt["top_p"]
    stored.dataset.protocols.chat.version = 1
    assert settings_now(stored, []).dataset.protocols.chat.version == 2


def test_shards_are_put_together(job: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = len(jobs(job))
    first, second = (str(shard(job, tmp_path / name, n)) for n, name in enumerate(("a", "limit=b")))
    assert cli.main(["score", first]) == 2
    assert "holds 6 of 12 answers" in capsys.readouterr().err
    assert cli.main(["score", first, second, first]) == 2
    assert re.search(r"\(repeat 0\) is answered in .*/a and in .*/a", capsys.readouterr().err)
    other = str(shard(job, tmp_path / "c", 1, run_key="another"))
    assert cli.main(["score", first, other]) == 2
    nameless = [str(shard(job, tmp_path / name, n, run_key="")) for n, name in enumerate("de")]
    assert cli.main(["score", *nameless]) == 2, "what has no key may be of anything"
    capsys.readouterr()
    assert cli.main(["score", first, other]) == 2
    assert re.search(r"/c and .*/a are not parts of one run: run key another and \w{64}", capsys.readouterr().err)
    assert len(jobs(job)) == before
    assert cli.main(["score", first, second, "name=whole"]) == 0
    assert "0 of 12 answers are judged differently" in capsys.readouterr().out
    whole = jobs(job)[0]
    assert (whole.info.run_name, whole.data.metrics["quality/n"]) == ("whole", 12)
    assert whole.data.metrics["quality/score"] == rounded(summary(job)["metrics"]["quality/score"])  # type: ignore[index]
    assert load_run(Path(whole.data.tags["wattrack.output_dir"])).responses == load_run(job).responses
    mlflow.MlflowClient(f"sqlite:///{job.parents[2]}/mlruns/mlflow.db").delete_run(whole.info.run_id)


@pytest.mark.slow
def test_a_job_whose_scorer_failed_is_scored(job: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failed = copied(job, tmp_path / "failed")
    (failed / "records.parquet").unlink()
    kept = {k: v for k, v in summary(job).items() if k not in ("metrics", "tags", "run_key")}
    (failed / "summary.json").write_text(json.dumps({**kept, "status": "FAILED"}), "utf-8")
    assert cli.main(["score", str(failed)]) == 0
    printed = capsys.readouterr().out
    assert "12 of 12" in printed
    assert "score before: -" in printed
    score = summary(job)["metrics"]["quality/score"]  # type: ignore[index]
    assert jobs(job)[0].data.metrics["quality/score"] == rounded(score)


@pytest.mark.parametrize(
    ("run", "override", "message"),
    [
        ("0" * 32, "", "not found"),
        ("nowhere", "", "nowhere: neither a job's output folder nor an MLflow run id"),
        ("", "model=demo_s", "model: scoring again changes how answers are judged, nothing else"),
        ("", "dataset.protocols.chat.prompt.template=x", "template: scoring again"),
        ("", "dataset.protocols.chat.scorer.marked=1", "marked: there is no such setting"),
        ("", "similarity.model_id=any", "arithmetic/chat@2 has no reference texts to compare answers with"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_one_line(
    job: Path, capsys: pytest.CaptureFixture[str], run: str, override: str, message: str
) -> None:
    assert cli.main(["score", run or str(job), *([override] if override else [])]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_random_weights_are_refused(job: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = copied(job, tmp_path / "random")
    config = (random / "config.yaml").read_text("utf-8")
    (random / "config.yaml").write_text(config.replace("weights: pretrained", "weights: random"), "utf-8")
    assert cli.main(["score", str(random)]) == 2
    assert "random weights: there is nothing to score" in capsys.readouterr().err


def test_a_scorer_that_raises_fails(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = ["dataset.protocols.chat.scorer._target_=wattrack.scorers.number.parse", f"~{MARKER}"]
    before = len(jobs(job))
    assert cli.main(["score", str(job), *changes]) == 1
    assert "the scorer of arithmetic/chat@2 failed: TypeError" in capsys.readouterr().err
    assert len(jobs(job)) == before


def test_a_dataset_whose_yaml_is_gone_keeps_its_settings(job: Path) -> None:
    cfg = OmegaConf.merge(OmegaConf.structured(Config), OmegaConf.load(job / "config.yaml"))
    cfg.dataset.name = "mine"
    cfg.dataset.protocols.chat.scorer.marker = "so"
    assert OmegaConf.to_yaml(settings_now(cfg, [])) == OmegaConf.to_yaml(cfg)  # type: ignore[arg-type]
    assert settings_now(cfg, [f"{MARKER}=is"]).dataset.protocols.chat.scorer.marker == "is"  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="seed"):
        settings_now(cfg, ["seed=1"])  # type: ignore[arg-type]
