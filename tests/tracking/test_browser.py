"""The printed links open pages of the real MLflow UI that show what they promise."""

from pathlib import Path

import pytest

from tracking.examples import LADDER, job_result, job_start, sweep_start
from tracking.ui_checks import CHROMIUM, assert_ui, running_ui
from wattrack.tracking.store import Tracker


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed")
@pytest.mark.parametrize("gpu", [False, True], ids=["modelled", "measured"])
def test_the_ui_opens_arranged(gpu: bool, uri: str, outputs: Path, tmp_path: Path) -> None:
    tracker = Tracker(uri, "arithmetic", artifact_root=outputs / "mlruns")
    for model in LADDER:
        run_id = tracker.start(job_start(model))
        tracker.log(run_id, job_result(model, questions=120, gpu=gpu))
        tracker.end(run_id, "FINISHED", None)
    runs = tracker.load_runs("sweep-1")
    sweep_run = tracker.start(sweep_start())
    tracker.log_sweep(sweep_run, runs, "| model | score |\n|---|---|")
    tracker.end(sweep_run, "FINISHED", None)
    shots = tmp_path / "screenshots"
    shots.mkdir()
    with running_ui(uri) as address:
        links = tracker.links(list(runs["run_id"]), base_url=address)
        assert_ui(address, tracker.experiment_id, links, list(LADDER), shots)
