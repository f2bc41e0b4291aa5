"""Rows from a hub on this machine, by the hub's real client: those of local files, and what is said when not."""

import logging
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants, snapshot_download
from omegaconf import OmegaConf
from rich.table import Table

from dataset_rows import INVENTED, bbh
from hub_repositories import Configs, jsonl, repository
from hub_server import TOKEN, Hub
from support import Compose
from wattrack.errors import DatasetError
from wattrack.settings import availability, build, catalogue
from wattrack.tasks.task import Task

GSM8K = INVENTED["gsm8k"]
MOVED: Configs = {"main": {"test": [{"question": "1 + 2?", "answer": "#### 3"}]}}
NAMES = [*INVENTED, "bbh"]


def offline(monkeypatch: pytest.MonkeyPatch, on: bool = True) -> None:
    """As HF_HUB_OFFLINE=1 at the start of a process."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", on)


def task(composed: Compose, name: str, *more: str) -> Task:
    return build.task(composed(f"dataset={name}", *more))


def _local(folder: Path, configs: Configs, config: str | None, parts: list[str], stem: str) -> Path:
    """The same rows as JSON lines: a file for each split, or for each part."""
    folder.mkdir()
    if parts:
        for part in parts:
            (folder / f"{part}.jsonl").write_bytes(jsonl(configs[part]["test"]))
        return folder
    splits = configs[config or next(iter(configs))]
    for split, rows in splits.items():
        (folder / f"{stem if stem == 'question' else split}.jsonl").write_bytes(jsonl(rows))
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_rows_and_worked_examples_are_those_of_local_files(
    hub: Hub, composed: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    few = ["dataset.parts=[navigate,snarks,word_sorting]"] if name == "bbh" else []
    data = composed(f"dataset={name}", *few).dataset
    configs = bbh(list(data.parts)) if name == "bbh" else INVENTED[name]
    commit = hub.push(data.hub_id, repository(name, configs), gated=name == "gpqa")
    stem = "question" if name == "mt_bench" else data.split
    folder = _local(tmp_path / "local", configs, data.hub_config, list(data.parts), stem)
    fetched = task(composed, name, *few)
    local = replace(fetched, source=replace(fetched.source, data_dir=folder))
    if name == "bbh":  # its prompts are files that are not shipped
        (samples, facts), (same, known) = fetched.samples(None, 0), local.samples(None, 0)
        assert samples == same
    else:
        here, there = fetched.questions(None, 0, 1), local.questions(None, 0, 1)
        assert (here.samples, here.requests) == (there.samples, there.requests)
        facts, known = here.facts, there.facts
    assert (facts.digest, facts.rows) == (known.digest, known.rows)
    assert (facts.revision, facts.source) == (commit, data.hub_id)


def test_only_the_files_of_the_split_are_downloaded_and_only_once(hub: Hub, composed: Compose) -> None:
    commit = hub.push("openai/gsm8k", repository("gsm8k", GSM8K))
    task(composed, "gsm8k").samples(None, 0)
    at = f"/datasets/openai/gsm8k/resolve/{commit}"
    assert [a for a in hub.asked if a.startswith("GET /datasets")] == [
        f"GET {at}/README.md",
        f"GET {at}/main/test-00000-of-00001.parquet",
    ]
    hub.asked.clear()
    task(composed, "gsm8k").samples(None, 0)
    assert [a for a in hub.asked if "datasets" in a] == ["GET /api/datasets/openai/gsm8k/revision/main"]


def test_without_network_the_cache_gives_rows_and_commit(
    hub: Hub, composed: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.push("allenai/winogrande", repository("winogrande", INVENTED["winogrande"]))
    online = task(composed, "winogrande").questions(None, 0, 1)
    hub.asked.clear()
    offline(monkeypatch)
    again = task(composed, "winogrande").questions(None, 0, 1)
    assert (again.facts, again.requests) == (online.facts, online.requests)
    assert again.facts.revision == commit
    offline(monkeypatch, False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert task(composed, "winogrande").questions(None, 0, 1).facts == online.facts
    assert hub.asked == []


def test_a_cache_filled_by_hf_download_serves(hub: Hub, composed: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = hub.push("SaylorTwift/bbh", repository("bbh", bbh(["navigate", "snarks"])))
    snapshot_download("SaylorTwift/bbh", repo_type="dataset")  # what `hf download --repo-type dataset` calls
    offline(monkeypatch)
    parts = "dataset.parts=[navigate,snarks]"
    samples, facts = task(composed, "bbh", parts).samples(None, 0)
    assert (len(samples), facts.revision) == (4, commit)
    with pytest.raises(DatasetError, match=rf"of commit {commit[:12]} the cache has no config word_sorting: it has"):
        task(composed, "bbh", "dataset.parts=[navigate,word_sorting]").samples(None, 0)


def test_a_branch_that_moved_is_noticed_and_the_old_rows_stay(
    hub: Hub, composed: Compose, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    old = hub.push("openai/gsm8k", repository("gsm8k", GSM8K))
    _, before = task(composed, "gsm8k").samples(None, 0)
    assert "moved" not in caplog.text
    new = hub.push("openai/gsm8k", repository("gsm8k", MOVED))
    with caplog.at_level(logging.WARNING):
        _, after = task(composed, "gsm8k").samples(None, 0)
    assert (before.revision, after.revision) == (old, new)
    assert before.digest != after.digest
    assert f"main has moved from {old[:12]} to {new[:12]}" in caplog.text
    assert f"dataset.revision={old} keeps the old rows" in caplog.text
    offline(monkeypatch)
    assert task(composed, "gsm8k").samples(None, 0)[1] == after
    assert task(composed, "gsm8k", f"dataset.revision={old}").samples(None, 0)[1] == before
    unknown = "a" * 40
    with pytest.raises(DatasetError, match=rf"the cache .* does not have it at {unknown}: connect, or point HF_HOME"):
        task(composed, "gsm8k", f"dataset.revision={unknown}").samples(None, 0)


def test_a_new_commit_that_cannot_be_had_gives_no_old_rows_under_its_name(
    hub: Hub, composed: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = hub.push("openai/gsm8k", repository("gsm8k", GSM8K))
    _, before = task(composed, "gsm8k").samples(None, 0)
    hub.push("openai/gsm8k", repository("gsm8k", MOVED))
    hub.fault = lambda method, path: "400" if "/resolve/" in path else None
    with pytest.raises(DatasetError, match="cannot be downloaded"):
        task(composed, "gsm8k").samples(None, 0)
    offline(monkeypatch)
    assert task(composed, "gsm8k").samples(None, 0)[1] == before, "what was last complete is still of use"
    assert before.revision == old


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, r"Idavidrein/gpqa is gated: accept its terms at http://.*/datasets/Idavidrein/gpqa and set HF_TOKEN"),
        ("hf_other", r"Idavidrein/gpqa is gated and the account of HF_TOKEN has no access: accept its terms at http"),
    ],
)
def test_a_gated_dataset_says_how_to_get_access(
    hub: Hub, composed: Compose, monkeypatch: pytest.MonkeyPatch, token: str | None, message: str
) -> None:
    hub.push("Idavidrein/gpqa", repository("gpqa", INVENTED["gpqa"]), gated=True)
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(DatasetError, match=message) as caught:
        task(composed, "gpqa").samples(None, 0)
    assert str(caught.value).endswith(
        "give local files: dataset.data_dir=FOLDER with gpqa_diamond.jsonl (or .parquet, .csv)"
    )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["dataset=mmlu"], r"cais/mmlu: the hub has no such dataset \(or it is private and HF_TOKEN is not set\)$"),
        (["dataset.revision=v9"], r"openai/gsm8k has no revision v9 on the hub: check dataset\.revision$"),
        (["dataset.hub_config=all"], r"openai/gsm8k has no config all: it has main, socratic \(dataset\.hub_config\)$"),
        (["dataset.split=dev"], r"openai/gsm8k \(main\) has no split dev: it has train, test \(dataset\.split\)$"),
    ],
)
def test_what_the_hub_does_not_have(hub: Hub, composed: Compose, overrides: list[str], message: str) -> None:
    hub.push("openai/gsm8k", repository("gsm8k", GSM8K))
    with pytest.raises(DatasetError, match=message):
        build.task(composed("dataset=gsm8k", *overrides)).samples(None, 0)


_GIVEN_UP = """
import sys
from concurrent.futures import ThreadPoolExecutor
from wattrack.errors import DatasetError
from wattrack.tasks import hub, task
hub._ASK_DEADLINE_S, hub._SILENCE_S = 6.0, 1.5

def said(name):
    source = task.Source(name=name, split="test", hub_id=name, hub_config="main")
    try:
        return f"{name}: {source.load()}"
    except DatasetError as e:
        return str(e)

names = sys.argv[1:]
with ThreadPoolExecutor(len(names)) as pool:
    print(*pool.map(said, names), sep="\\n", flush=True)
"""


@pytest.mark.slow
def test_a_hub_that_is_ill_is_given_up_in_one_line_each(hub: Hub, environment: dict[str, str]) -> None:
    places = {
        "/revision/main": "cannot reach the Hugging Face hub for {id} (",
        "README.md": "{id}: README.md cannot be downloaded (",
        ".parquet": "{id}: main/test-00000-of-00001.parquet cannot be downloaded (",
    }
    faults = {f"{what}/{n}": (where, what) for what in ("500", "429", "stall", "cut") for n, where in enumerate(places)}
    for name in faults:
        hub.push(name, repository("gsm8k", GSM8K))

    def fault(method: str, path: str) -> str | None:
        return next((what for name, (end, what) in faults.items() if f"/{name}/" in path and path.endswith(end)), None)

    hub.fault = fault
    asked = [sys.executable, "-c", _GIVEN_UP, *faults]
    started = time.monotonic()
    done = subprocess.run(
        asked, env={**environment, "HF_ENDPOINT": hub.url}, capture_output=True, text=True, timeout=60, check=True
    )
    assert time.monotonic() - started < 30, "the hub's client would have tried on for minutes"
    said = done.stdout.splitlines()
    assert len(said) == len(faults)
    for line, (name, (where, _)) in zip(said, faults.items(), strict=True):
        assert line.startswith(places[where].format(id=name)), line
        assert line.endswith("or give local files: dataset.data_dir=FOLDER with test.jsonl (or .parquet, .csv)")


def test_a_branch_is_noted_when_all_its_parts_are_there(
    hub: Hub, composed: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = "dataset.parts=[navigate,snarks]"
    old = hub.push("SaylorTwift/bbh", repository("bbh", bbh(["navigate", "snarks"])))
    task(composed, "bbh", parts).samples(None, 0)
    hub.push("SaylorTwift/bbh", repository("bbh", bbh(["navigate", "snarks", "word_sorting"])))
    hub.fault = lambda method, path: "400" if "/resolve/" in path and "snarks" in path else None
    with pytest.raises(DatasetError, match=r"snarks/test-00000-of-00001\.parquet cannot be downloaded"):
        task(composed, "bbh", parts).samples(None, 0)
    offline(monkeypatch)
    assert task(composed, "bbh", parts).samples(None, 0)[1].revision == old


def test_a_part_that_is_complete_when_its_size_is_asked_does_not_disturb(hub: Hub, composed: Compose) -> None:
    hub.push("openai/gsm8k", repository("gsm8k", GSM8K))
    blobs = Path(constants.HF_HUB_CACHE) / "datasets--openai--gsm8k" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "a.b.incomplete").symlink_to("renamed")  # listed, and gone when it is looked at
    task(composed, "gsm8k").samples(None, 0)


def test_a_token_that_the_hub_does_not_know(hub: Hub, composed: Compose) -> None:
    hub.fault = lambda method, path: "403"
    with pytest.raises(DatasetError, match=r"openai/gsm8k: the hub refuses with status 403: check HF_TOKEN"):
        task(composed, "gsm8k").samples(None, 0)


def test_a_damaged_file_is_named_as_the_hub_calls_it(hub: Hub, composed: Compose) -> None:
    files = {**repository("gsm8k", GSM8K), "main/test-00000-of-00001.parquet": b"PAR1 and nothing more"}
    hub.push("openai/gsm8k", files)
    with pytest.raises(DatasetError, match=r"main/test-00000-of-00001\.parquet: not a readable parquet file"):
        task(composed, "gsm8k").samples(None, 0)
    bad: Configs = {"main": {"test": [*GSM8K["main"]["test"], {"question": "?", "answer": "none"}]}}
    hub.push("openai/gsm8k", repository("gsm8k", bad))
    with pytest.raises(DatasetError, match=r"^openai/gsm8k/main/test-00000-of-00001\.parquet: row 3: `answer` must be"):
        task(composed, "gsm8k").samples(None, 0)


def test_the_list_tells_what_is_at_hand(hub: Hub, composed: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    def state(name: str, **more: object) -> str:
        data = OmegaConf.to_container(composed(f"dataset={name}").dataset)
        assert isinstance(data, dict)
        return availability.state({**data, **more})

    assert state("winogrande") == "missing: still on the hub"
    assert state("gpqa") == "gated: set HF_TOKEN (2)"
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert state("gpqa") == "gated: HF_TOKEN is set (2)"
    commit = hub.push("allenai/winogrande", repository("winogrande", INVENTED["winogrande"]))
    task(composed, "winogrande").samples(None, 0)
    assert state("winogrande") == f"ready: {commit[:8]} in the cache, without the worked examples (train)"
    task(composed, "winogrande").questions(None, 0, 1)
    assert state("winogrande") == f"ready: {commit[:8]} in the cache"
    gated = hub.push("Idavidrein/gpqa", repository("gpqa", INVENTED["gpqa"]), gated=True)
    task(composed, "gpqa").samples(None, 0)
    assert state("gpqa") == f"ready: {gated[:8]} in the cache"
    assert state("bfcl") == "missing: needs data_dir (1)"
    assert state("gsm8k", data_dir="/nowhere") == "missing: dataset.data_dir=/nowhere: no such folder"
    offline(monkeypatch)
    assert state("mmlu") == "missing: not in the cache"
    assert (state("perf"), state("prompts")) == ("ready: generated", "ready: in the package")


def test_the_list_has_a_line_for_each_dataset_and_says_what_to_do(hub: Hub) -> None:
    parts = list(catalogue.catalogue())
    datasets = next(t for t in parts if isinstance(t, Table) and t.columns[0].header == "dataset=")
    rows = list(zip(*(map(str, column.cells) for column in datasets.columns), strict=True))
    named = {row[0]: row[1:] for row in rows}
    assert named["gpqa"][:2] == ("gated: set HF_TOKEN (2)", "198")
    assert named["gsm8k"] == (
        "missing: still on the hub", "1319", "base@2*, chat@2", "exact_match_strict", "mit", "openai/gsm8k"
    )  # fmt: skip
    assert named["wattbot"][1] == "not stated"
    assert named["wattbot"][4] == "unknown"
    notes = "".join(part for part in parts if isinstance(part, str))
    assert f"(2) gpqa: accept the terms at {hub.url}/datasets/Idavidrein/gpqa" in notes
    assert "(1) bfcl: dataset.data_dir is the folder bfcl_eval/data of the package bfcl-eval" in notes
    assert "bbh: also needs the authors' prompts: dataset.prompts_dir" in notes


def test_checking_a_dataset_reads_every_row(hub: Hub, tmp_path: Path) -> None:
    def cells(*overrides: str) -> dict[str, str]:
        names, values = (map(str, column.cells) for column in availability.checked(overrides).columns)
        return dict(zip(names, values, strict=True))

    commit = hub.push("openai/gsm8k", repository("gsm8k", GSM8K))
    found = cells("dataset=gsm8k")
    assert found["rows"] == "2, but the publisher states 1319"
    assert (found["revision"], found["protocol"]) == (commit, "gsm8k/base@2")
    (tmp_path / "test.jsonl").write_bytes(jsonl(GSM8K["main"]["test"]))
    assert cells("dataset=gsm8k", f"dataset.data_dir={tmp_path}")["digest"] == found["digest"]
    (tmp_path / "test.jsonl").write_bytes(jsonl([{"question": "?", "answer": "no number"}]))
    with pytest.raises(DatasetError, match=r"test\.jsonl:1: `answer` must be"):
        availability.checked(["dataset=gsm8k", f"dataset.data_dir={tmp_path}"])
