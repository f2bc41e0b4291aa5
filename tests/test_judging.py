"""A judge's ratings of a finished job: who rated what is on record, and without ratings there is no score."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pandas as pd
import pytest
from hydra.core.global_hydra import GlobalHydra
from rich.console import Console

from scripted import TextEngine
from support import flat_response
from test_job import folders, runs
from wattrack import cli
from wattrack.answering import ALL, Load
from wattrack.journal import read_journal
from wattrack.prompts.turns import Turns
from wattrack.rescoring.judging import judge
from wattrack.schema import Message, Request, Response, Sample
from wattrack.tasks.mt_bench_judge import MtBenchJudging

Runner = Callable[..., int]
ROWS = [
    {"question_id": 81 + i, "category": name, "turns": ["Name a fruit.", "Another?"]}
    for i, name in enumerate(("writing", "math"))
]
JUDGE = "judge.model_id=embedded:demo_s"


@pytest.fixture
def rows(outputs: Path) -> Path:
    (outputs / "question.jsonl").write_text("".join(json.dumps(r) + "\n" for r in ROWS), "utf-8")
    return outputs


def ask(run_here: Runner, rows: Path, *overrides: str) -> int:
    settings = (
        "model=demo_xs",
        "dataset=mt_bench",
        f"dataset.data_dir={rows}",
        "probe_questions=0",
        "hardware.threads=1",
    )
    code = run_here(*settings, *overrides)
    GlobalHydra.instance().clear()
    return code


class Listening(TextEngine):
    """Rates everything 7 and keeps what it was shown."""

    shown = ""

    def generate(self, requests: Sequence[Request], load: Load = ALL) -> Iterator[Response]:
        self.shown += "".join(m.content for r in requests for m in r.prompt if isinstance(m, Message))
        yield from super().generate(requests)


def test_a_judge_sees_no_reasoning(tmp_path: Path) -> None:
    sample = Sample(id="1", question="", target="", data={"turns": ["Name a fruit."], "references": []})
    (turn,) = Turns(max_new_tokens=9).turns(sample)
    answer = flat_response(
        sample_id=turn.id, repeat=0, text="<think>A plum?</think>A pear.", finish_reason="stop", input_tokens=1,
        output_tokens=9,
    )  # fmt: skip
    engine = Listening(text="[[7]]")
    (record,) = judge(engine, MtBenchJudging(version=1), [turn], [answer], tmp_path, Console(quiet=True)).records
    assert "A pear." in engine.shown and "plum" not in engine.shown
    assert record.metrics["mt_bench"] == 7.0


@pytest.mark.slow
def test_ratings_are_a_new_run_with_the_judges_name(
    run_here: Runner, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The engine says the same whoever loads it, as the model and as its judge: every answer is rated 7.
    said = "+engine.text='A pear is good. [[7]]'"
    assert ask(run_here, rows, "engine._target_=scripted.TextEngine", said) == 0
    (original,) = runs(rows, "mt_bench")
    assert cli.main(["score", original.info.run_id]) == 0
    assert "unscored: no judge; name one with judge.model_id=MODEL" in capsys.readouterr().out
    assert cli.main(["score", original.info.run_id, JUDGE]) == 0
    printed = capsys.readouterr().out
    assert "mt_bench: 7 of 10; 100% of the judge's replies have a rating" in printed
    judged = runs(rows, "mt_bench")[0]
    found = {k: v for k, v in judged.data.metrics.items() if k.startswith("quality/mt_bench")}
    assert found == {
        "quality/mt_bench": 7.0, "quality/mt_bench_turn1": 7.0, "quality/mt_bench_turn2": 7.0,
        "quality/mt_bench_writing": 7.0, "quality/mt_bench_math": 7.0, "quality/mt_bench_parsed": 1.0,
    }  # fmt: skip
    assert judged.data.metrics["quality/score"] == pytest.approx(6 / 9, abs=1e-4)
    tags = judged.data.tags
    assert tags["quality.status"] == "judged by embedded:demo_s, prompt 1"
    assert tags["judge.model"] == "embedded:demo_s"
    assert tags["wattrack.protocol"] == "mt_bench/chat@2, judge embedded:demo_s, prompt 1"
    assert tags["wattrack.rescored_from"] == original.info.run_id
    assert tags["wattrack.run_key"] != original.data.tags["wattrack.run_key"]
    folder = Path(tags["wattrack.output_dir"])
    assert len(read_journal(folder / "judgements.jsonl")) == 4
    assert list(pd.read_parquet(folder / "records.parquet")["explanation"]) == ["A pear is good. [[7]]"] * 4

    assert cli.main(["score", str(folder), JUDGE]) == 0
    assert "nothing differs" in capsys.readouterr().out
    assert cli.main(["score", str(folder), "judge.model_id=embedded:demo_m"]) == 0
    assert runs(rows, "mt_bench")[0].data.tags["wattrack.run_key"] != tags["wattrack.run_key"]


@pytest.mark.slow
def test_a_judge_without_ratings_gives_no_score(
    run_here: Runner, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = ("dataset.protocols.chat.prompt.max_new_tokens=8", "dataset.protocols.chat.judging.max_new_tokens=8")
    assert ask(run_here, rows, *limits) == 0
    (folder,) = folders(rows)
    assert cli.main(["score", str(folder), JUDGE, limits[1]]) == 0
    assert "mt_bench: - of 10; 0% of the judge's replies have a rating" in capsys.readouterr().out
    judged = runs(rows, "mt_bench")[0]
    assert judged.data.metrics["quality/mt_bench_parsed"] == 0
    assert not {"quality/mt_bench", "quality/score"} & set(judged.data.metrics)
    assert judged.data.tags["quality.status"].startswith("unscored: no readable rating by embedded:demo_s")
    replies = read_journal(Path(judged.data.tags["wattrack.output_dir"]) / "judgements.jsonl")
    assert all("You are the examiner" in r.prompt_text and r.usage.output_tokens for r in replies)


def test_a_run_asks_no_judge(run_here: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("limit=2", JUDGE) == 2
    assert "a judge is asked afterwards: wattrack score RUN judge.model_id=" in capsys.readouterr().err


@pytest.mark.slow
def test_a_judge_where_none_is_needed_is_refused(
    run_here: Runner, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here("limit=2", "probe_questions=0", "engine._target_=scripted.TextEngine") == 0
    GlobalHydra.instance().clear()
    (folder,) = folders(outputs)
    assert cli.main(["score", str(folder), JUDGE]) == 2
    assert "judge.model_id: arithmetic/chat is scored by a program" in capsys.readouterr().err
