"""Open the MLflow UI on a store and look at it as a user does: for tests of any store that Tracker has written."""

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from wattrack.tracking.ui import ui_command

CHROMIUM = Path("/usr/bin/chromium")
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
_ARGUMENTS += ["--disable-component-update", "--disable-sync"]
_PATIENCE_S = 60
_CLOSED_ASSISTANT = 'localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true")'
"""A panel that MLflow opens by itself on the first visit."""


@contextmanager
def running_ui(uri: str) -> Iterator[str]:
    """`mlflow ui` on the store at a free port; gives its address and ends every process of it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command, environment = ui_command(uri, "127.0.0.1", port)
    server = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _until(lambda: _healthy(address), f"mlflow ui did not answer at {address}")
        yield address
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@dataclass(frozen=True)
class _Run:
    model: str
    run_id: str
    score: float
    answers: dict[str, dict[str, Any]]
    """Question id -> row of tables/predictions.json."""


def assert_ui(
    base_url: str,
    experiment_id: str,
    links: Sequence[tuple[str, str]],
    models: Sequence[str],
    shots: Path | None = None,
) -> None:
    """Follow the links of a sweep and assert that each page shows what it is for.

    Args:
        base_url: where the UI runs.
        experiment_id: the experiment of the sweep.
        links: as `Tracker.links` gives them, with the same base_url.
        models: at least two, each with one finished run.
        shots: folder for a screenshot of every page; None = none.
    """
    pages = dict(links)
    runs = [run for run in _runs(base_url, experiment_id) if run.model in models]
    assert {run.model for run in runs} == set(models), f"finished runs: {[run.model for run in runs]}"
    checks: dict[str, Callable[[Page], None]] = {
        "Leaderboard": lambda page: _check_leaderboard(page, runs),
        "Trade-offs": lambda page: _check_tradeoffs(page, runs),
        "By model": lambda page: _shows(page, "Group: "),
        "Over questions": lambda page: _check_lines(page),
        "Answers side by side": lambda page: _check_answers(page, runs),
        "Two best models, question by question": lambda page: _check_traces(page, runs),
        "Best run": lambda page: _shows(page, "quality/score_ci_low"),
    }
    assert set(checks) <= set(pages), f"links: {list(pages)}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=False, args=_ARGUMENTS)
        for title, check in checks.items():
            page = browser.new_context(viewport={"width": 1600, "height": 1000}).new_page()
            page.add_init_script(_CLOSED_ASSISTANT)
            page.goto(pages[title])
            try:
                check(page)
            finally:
                if shots is not None:
                    page.screenshot(path=shots / f"{title.split(',')[0].lower().replace(' ', '-')}.png")
                page.context.close()
        browser.close()


def _check_leaderboard(page: Page, runs: Sequence[_Run]) -> None:
    """Every model has a row; the scores stand there, best first."""
    for run in runs:
        _shows(page, run.model)
    cell = "[role=gridcell][col-id='metrics.`quality/score`']"
    _until(lambda: page.locator(cell).count() >= len(runs), "the leaderboard has no scores")
    shown = [float(text) for text in page.locator(cell).all_inner_texts() if text.strip() not in ("", "-")]
    assert shown == sorted(shown, reverse=True)
    assert {run.score for run in runs} <= set(shown)


def _check_tradeoffs(page: Page, runs: Sequence[_Run]) -> None:
    """Three scatter charts and, further down, bars; each with a mark for every run."""
    scatter, bar = ".js-plotly-plot .scatterlayer .point", ".js-plotly-plot .barlayer .point"
    _until(lambda: page.locator(scatter).count() >= 3 * len(runs), "the scatter charts are not drawn")
    _shows(page, "Parallel Coordinates")
    page.get_by_test_id("experiment-view-compare-runs-section-header").nth(1).scroll_into_view_if_needed()
    _until(lambda: page.locator(bar).count() >= len(runs), "the bar charts are not drawn")
    page.get_by_test_id("experiment-view-compare-runs-section-header").nth(0).scroll_into_view_if_needed()
    _until(lambda: page.locator(scatter).count() >= 2 * len(runs), "the scatter charts are gone")


def _check_lines(page: Page) -> None:
    _shows(page, "running/score")
    line = ".js-plotly-plot .scatterlayer .js-line"
    _until(lambda: page.locator(line).count() > 0, "the running score is not drawn")


def _check_answers(page: Page, runs: Sequence[_Run]) -> None:
    """The first question's answers of all models stand beside each other."""
    question = next(iter(runs[0].answers))
    answers = [_flat(run.answers[question]["output"])[:40] for run in runs]

    def complete() -> bool:
        text = _flat(page.locator("body").inner_text())
        return all(text.count(answer) >= answers.count(answer) for answer in answers)

    _until(complete, f"not all answers to {question} are shown: {answers}")
    for run in runs:
        _shows(page, run.model)


def _check_traces(page: Page, runs: Sequence[_Run]) -> None:
    """The two best runs' answers to one question share a row."""
    best, second = sorted(runs, key=lambda run: -run.score)[:2]
    pairs = [
        [_flat(row["question"])[:80], _flat(row["output"])[:40], _flat(second.answers[number]["output"])[:40]]
        for number, row in list(best.answers.items())[:50]
    ]

    def paired() -> bool:
        rows = [_flat(text) for text in page.locator("[role=row]").all_inner_texts()]
        return any(all(part in row for part in pair) and row.count("tr-") == 2 for row in rows for pair in pairs)

    _until(paired, "no question shows both runs' answers")


def _runs(base_url: str, experiment_id: str) -> list[_Run]:
    """Every finished job run with its question table, through the server."""
    query = {"experiment_ids": [experiment_id], "filter": "tags.`wattrack.kind` = 'job' and status = 'FINISHED'"}
    request = urllib.request.Request(
        f"{base_url}/ajax-api/2.0/mlflow/runs/search",
        data=json.dumps(query).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=_PATIENCE_S) as answer:
        found = json.load(answer).get("runs", [])
    runs = []
    for run in found:
        run_id = run["info"]["run_id"]
        url = f"{base_url}/get-artifact?path=tables/predictions.json&run_uuid={run_id}"
        with urllib.request.urlopen(url, timeout=_PATIENCE_S) as answer:
            table = json.load(answer)
        rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
        params = {p["key"]: p["value"] for p in run["data"]["params"]}
        metrics = {m["key"]: m["value"] for m in run["data"]["metrics"]}
        runs.append(_Run(params["model"], run_id, metrics["quality/score"], {row["id"]: row for row in rows}))
    return runs


def _flat(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _shows(page: Page, text: str) -> None:
    page.get_by_text(text).first.wait_for(timeout=1000 * _PATIENCE_S)


def _until(condition: Callable[[], bool], otherwise: str) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, otherwise
        time.sleep(0.3)


def _healthy(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=2):
            return True
    except OSError:
        return False
