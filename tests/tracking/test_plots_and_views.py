"""Plots say what they show and skip what nobody measured; views and links have the form that the UI reads."""

import base64
import json
import logging
import math
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
import pytest
from matplotlib.figure import Figure

from tracking.examples import LADDER, job_result, readings, runs_frame
from wattrack.tracking import job_plots, plots, sweep_plots, views
from wattrack.tracking.colors import model_color, plot_colors
from wattrack.tracking.ui import ui_command


def _texts(figure: Figure) -> str:
    texts = [[a.get_title(), a.get_title(loc="left"), a.get_xlabel(), a.get_ylabel()] for a in figure.axes]
    return " | ".join([figure.get_suptitle(), *(text for of_axes in texts for text in of_axes)])


def test_every_plot_has_its_data_beside_it(tmp_path: Path) -> None:
    backend = matplotlib.rcParams["backend"]
    job_plots.write_job_plots(tmp_path, "demo_s", job_result(questions=30))
    sweep_plots.write_sweep_plots(tmp_path, runs_frame())
    names = {"score", "latency", "system", "size_score", "size_energy", "score_energy", "comparison"}
    assert {p.stem for p in tmp_path.glob("*.png")} == {p.stem for p in tmp_path.glob("*.csv")} == names
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.glob("*.png"))
    assert list(pd.read_csv(tmp_path / "size_score.csv")["params_b"]) == [size for size, _ in LADDER.values()]
    assert set(pd.read_csv(tmp_path / "latency.csv")["quantity"]) == {"e2e, in the batch", "e2e", "TTFT", "ITL"}
    assert matplotlib.rcParams["backend"] == backend and matplotlib.rcParams["axes.grid"] is False


def test_what_was_not_measured_is_skipped_with_a_reason(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    nothing = replace(readings(), samples=(), windows=())
    empty = replace(job_result(questions=1), records=(), probe=(), readings=nothing)
    job_plots.write_job_plots(tmp_path, "demo_s", empty)
    runs = runs_frame()[["run_id", "name", "status", "params.model"]]
    sweep_plots.write_sweep_plots(tmp_path, runs)
    sweep_plots.write_sweep_plots(tmp_path, runs_frame().assign(status="FAILED"))
    assert list(tmp_path.iterdir()) == []
    for line in ("latency skipped: no answer has", "system skipped: the sampler gave no", "comparison skipped: no run"):
        assert line in caplog.text


def test_a_sweep_without_sizes_or_energy_still_compares(tmp_path: Path) -> None:
    runs = runs_frame().drop(columns=["params.model/params_b", "metrics.energy/codecarbon_wh"])
    sweep_plots.write_sweep_plots(tmp_path, runs)
    assert {path.stem for path in tmp_path.iterdir()} == {"comparison"}


def test_energy_is_named_by_how_it_was_obtained() -> None:
    modelled, measured = (sweep_plots.plot_data(runs_frame(gpu)) for gpu in (False, True))
    assert "modelled" in _texts(sweep_plots.draw_score_energy(modelled, str(sweep_plots.energy_column(modelled))))
    assert "(measured," in _texts(sweep_plots.draw_score_energy(measured, str(sweep_plots.energy_column(measured))))
    measured.loc[0, "energy/measured_wh"] = float("nan")
    assert sweep_plots.energy_column(measured) == "energy/codecarbon_wh", "never mixed"


def test_power_is_drawn_where_a_sensor_was_readable() -> None:
    for gpu, said in ((True, "power (W)"), (False, "no power sensor was readable")):
        seen = readings(gpu=gpu)
        assert said in _texts(job_plots.draw_system(job_plots.system_data(seen), "demo_s", "#0072b2", seen))


def test_a_series_read_less_often_than_others_is_still_a_line() -> None:
    seen = readings(gpu=True)
    samples = tuple(
        replace(s, values={k: v for k, v in s.values.items() if "gpu" in k or i % 3 == 0})
        for i, s in enumerate(seen.samples)
    )
    seen = replace(seen, samples=samples)
    figure = job_plots.draw_system(job_plots.system_data(seen), "demo_s", "#0072b2", seen)
    lines = {str(line.get_label()): len(line.get_xdata()) for axes in figure.axes for line in axes.get_lines()}
    assert lines["process rss"] == len(samples[::3])
    assert lines["gpu 0 power"] == len(samples)
    assert not any(math.isnan(y) for axes in figure.axes for line in axes.get_lines() for y in line.get_ydata())


def test_labels_name_what_differs_between_runs() -> None:
    runs = pd.concat([runs_frame(), runs_frame().assign(**{"params.preset": "performance"})], ignore_index=True)
    data = sweep_plots.plot_data(runs)
    assert list(data["label"])[:2] == ["demo_xs · balanced", "demo_s · balanced"]
    assert data["group"].nunique() == 2


def test_labels_do_not_cover_one_another() -> None:
    axes = plots.new_figure(6, 4).add_subplot()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    plots.place_labels(axes, [(0.5, 0.5), (0.52, 0.5), (0.5, 0.53)], ["one model", "another model", "a third"])
    boxes = [text.get_window_extent().extents for text in axes.texts]
    assert len(boxes) == 3
    assert sum(plots._overlap(a, b) for a in boxes for b in boxes if a is not b) == 0


@pytest.mark.parametrize(
    ("size_b", "label"), [(0.0001, "0.1 M"), (0.0025, "2.5 M"), (0.494, "0.49 B"), (7.61, "7.6 B")]
)
def test_sizes_are_readable(size_b: float, label: str) -> None:
    assert plots.size_label(size_b) == label


def test_colours_are_stable_and_distinct() -> None:
    shipped = [*LADDER, *(f"qwen{size}" for size in ("0_5b", "1_5b", "3b", "7b", "14b", "32b"))]
    assert len({model_color(name) for name in shipped}) == len(shipped)
    assert model_color("demo_xs") == "#0072b2"
    crowd = [f"model-{i}" for i in range(12)]
    assert len(set(plot_colors(crowd).values())) == len(crowd)


def _states(measured: bool) -> dict[str, dict[str, Any]]:
    tags = views.view_tags(views.Available(measured_energy=measured, gpu_memory=measured))
    states = {}
    for value in tags.values():
        view = json.loads(value)
        packed = view["state"].removeprefix("deflate;")
        states[view["name"]] = json.loads(zlib.decompress(base64.b64decode(packed)))
    return states


def test_views_show_jobs_only_and_all_of_them() -> None:
    states = _states(measured=True)
    assert list(states) == ["Leaderboard", "Trade-offs", "By model", "Over questions"]
    for state in states.values():
        assert state["searchFilter"] == 'tags.`wattrack.kind` = "job"'
        assert state["runsHiddenMode"] == "SHOWALL"
    assert states["Leaderboard"]["columnOrder"][1:3] == ["metrics.`quality/score`", "metrics.`energy/measured_wh`"]
    keys = [key["groupByData"] for key in states["By model"]["groupBy"]["groupByKeys"]]
    # An average holds no two protocols, presets, machines or engine modes.
    assert keys == ["model", "effective/mode", "preset", "dataset/protocol_id", "hardware"]


def test_views_say_when_energy_is_modelled() -> None:
    modelled = json.dumps(_states(measured=False))
    assert "energy/measured_wh" not in modelled and "memory/vram_peak_gib" not in modelled
    assert "Trade-offs (energy modelled)" in modelled
    assert "modelled" not in json.dumps(_states(measured=True))


def test_views_of_choices_show_no_token_times() -> None:
    choices = views.Available(measured_energy=True, gpu_memory=True, generated=False)
    packed = [json.loads(v)["state"].removeprefix("deflate;") for v in views.view_tags(choices).values()]
    shown = "".join(zlib.decompress(base64.b64decode(state)).decode() for state in packed)
    assert "throughput/questions_per_s" in shown and "latency/e2e_s_p50" in shown
    assert "ttft" not in shown and "itl" not in shown and "output_tokens_per_s" not in shown


def test_the_same_view_is_recognised_whenever_it_was_written() -> None:
    available = views.Available(measured_energy=True, gpu_memory=True)
    early, late = views.view_tags(available, 1), views.view_tags(available, 2)
    assert early != late
    assert all(views.same_view(early[name], late[name]) for name in early)
    assert all(len(value) < 20_000 for value in early.values()), "MLflow's limit of an experiment tag"
    assert not views.same_view(None, "{}") and not views.same_view("broken", "{}")


def test_the_ui_starts_light() -> None:
    command, environment = ui_command("sqlite:////x/mlflow.db", "127.0.0.1", 5001)
    assert command[1:] == ["-m", "mlflow", "ui", "--workers", "1", "--host", "127.0.0.1", "--port", "5001"]
    assert environment["MLFLOW_BACKEND_STORE_URI"] == "sqlite:////x/mlflow.db"
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
