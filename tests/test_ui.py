"""A real sweep of real models, its printed links followed in the real MLflow UI."""

import re
from pathlib import Path

import mlflow
import pytest

from support import Command
from tracking.ui_checks import CHROMIUM, assert_ui, running_ui

LADDER = ["demo_xs", "demo_s", "demo_m", "demo_l"]


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed")
def test_the_links_that_a_sweep_prints(src_run: Command, outputs: Path, tmp_path: Path) -> None:
    done = src_run("-m", f"model={','.join(LADDER)}", "limit=60", "probe_questions=5", timeout_s=600)
    assert done.returncode == 0, done.stderr
    printed = re.findall(r"^  ([^:]+): (http\S+)$", done.stdout, re.MULTILINE)
    assert len(printed) >= 6
    uri = f"sqlite:///{outputs}/mlruns/mlflow.db"
    experiment = mlflow.MlflowClient(uri).get_experiment_by_name("arithmetic")
    assert experiment is not None
    shots = tmp_path / "screenshots"
    shots.mkdir()
    with running_ui(uri) as address:
        links = [(title, url.replace("http://127.0.0.1:5000", address)) for title, url in printed]
        assert_ui(address, experiment.experiment_id, links, LADDER, shots)
