"""Saved views of the MLflow UI and the links that open them.

MLflow 3.15 and newer keep a named view of the Runs page as an experiment tag. The format is not documented;
it is known from the UI's own output and lives here alone. A view the UI cannot read shows the default page,
nothing worse.
"""

import base64
import json
import time
import uuid
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote, urlencode

from wattrack.metrics.rows import shown_in
from wattrack.metrics.shown import ViewBar, ViewColumn, ViewLine, ViewParallel, ViewPlace, ViewScatter, When

JOBS_ONLY = 'tags.`wattrack.kind` = "job"'

_TAG = "mlflow.sharedViewState."
_VIEWS = (
    ("wattrack-leaderboard", "Leaderboard", ""),
    ("wattrack-tradeoffs", "Trade-offs", "CHART"),
    ("wattrack-by-model", "By model", ""),
    ("wattrack-over-questions", "Over questions", "CHART"),
)
"""(key in the link, name in the UI, mode of the Runs page)."""

_RUN_NAME = "attributes.`Run Name`"

_SERIES = (
    "system/gpu_0_power_usage_watts",
    "system/gpu_0_utilization_percentage",
    "system/cpu_utilization_percentage",
    "system/process_rss_megabytes",
)

State = dict[str, object]
AnyView = TypeVar("AnyView", bound=ViewPlace)


@dataclass(frozen=True, slots=True, kw_only=True)
class Available:
    """Which of two alternative metrics the runs of an experiment have."""

    measured_energy: bool
    gpu_memory: bool
    generated: bool = True
    """Whether any run wrote text; otherwise answers are choices, which have no tokens to time."""

    def has(self, when: When) -> bool:
        """Whether the runs have what a metric's row asks for."""
        if when in ("measured energy", "modelled energy"):
            return self.measured_energy == (when == "measured energy")
        if when in ("GPU memory", "host memory"):
            return self.gpu_memory == (when == "GPU memory")
        return when == "always" or self.generated == (when == "text")

    def shown(self, kind: type[AnyView]) -> dict[str, AnyView]:
        """The metrics that a part of the views shows of such runs, in its order, and what their rows say of it."""
        return {name: place for name, place in shown_in(kind).items() if self.has(place.when)}


def view_tags(available: Available, now_unix_ms: int | None = None) -> dict[str, str]:
    """Experiment tags of the four views, by tag name."""
    now = int(time.time() * 1000) if now_unix_ms is None else now_unix_ms
    states = (_leaderboard(available), _tradeoffs(available), _by_model(available), _over_questions(available))
    return {
        _TAG + key: json.dumps({"name": name, "createdAt": now, "updatedAt": now, "state": _packed(state)})
        for (key, name, _), state in zip(_VIEWS, states, strict=True)
    }


def same_view(one: str | None, other: str) -> bool:
    """Whether two tags hold the same view, whenever they were written."""
    try:
        return one is not None and json.loads(one)["state"] == json.loads(other)["state"]
    except (ValueError, KeyError, TypeError):
        return False


def deep_links(base_url: str, experiment_id: str, run_ids: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """(title, URL) of every arranged page for these runs.

    One run: the views and its own page. Several: also the per-question comparison of all visible runs and, of every
    set of questions, the traces of the two best runs beside each other and the best run.

    Args:
        base_url: of the UI.
        experiment_id: the experiment that the runs are in.
        run_ids: what runs were asked -> those runs, best first.
    """
    experiment = f"{base_url.rstrip('/')}/#/experiments/{experiment_id}"
    links = [(name, _runs_page(experiment, key, mode)) for key, name, mode in _VIEWS]
    count = sum(len(ids) for ids in run_ids.values())
    if count > 1:
        links.append(("Answers side by side", _runs_page(experiment, _VIEWS[0][0], "ARTIFACT")))
    for name, ids in run_ids.items():
        of = f" of {name}" if len(run_ids) > 1 else ""
        if len(ids) > 1:
            links.append((f"Two best models{of}, question by question", _pair_page(experiment, ids[0], ids[1])))
        if ids:
            title = "This run" if count == 1 else f"Best run{of}"
            links.append((title, f"{experiment}/runs/{quote(ids[0])}?workflowType=machine_learning"))
    return links


def _pair_page(experiment: str, best: str, second: str) -> str:
    query = {
        "selectedRunUuid": best,
        "compareToRunUuid": second,
        # Only what both were asked; wrong answers beyond that have no counterpart in the other run.
        "filter": "TAG::=::first::wattrack.traced",
    }
    return f"{experiment}/evaluation-runs?{urlencode(query)}"


def _runs_page(experiment: str, key: str, mode: str) -> str:
    query = {"workflowType": "machine_learning", "viewStateShareKey": key}
    if mode:
        query["compareRunsMode"] = mode
    return f"{experiment}/runs?{urlencode(query)}"


def _packed(state: State) -> str:
    data = json.dumps(state, separators=(",", ":")).encode()
    return "deflate;" + base64.b64encode(zlib.compress(data, 9)).decode()


def _state(**changes: object) -> State:
    """The Runs page's whole state with jobs only, every run shown and sections in our order."""
    return {
        "searchFilter": JOBS_ONLY,
        "orderByKey": "metrics.`quality/score`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [],
        "columnOrder": [],
        "columnWidths": {},
        "runsHiddenMode": "SHOWALL",  # otherwise only the first ten runs count
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": True,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        **changes,
    }


def _columns(available: Available, name_px: int, extra_px: int = 0) -> State:
    metrics = [f"metrics.`{name}`" for name in available.shown(ViewColumn)]
    shown = ("model", "model/params_b", "dataset", "preset", "hardware", "effective/mode")
    params = [f"params.`{name}`" for name in shown]
    return {
        "selectedColumns": ["attributes.`Dataset`", *metrics, *params],
        "columnOrder": [_RUN_NAME, *metrics],
        # The UI's default width shows 14 letters of a name, which makes every latency look the same.
        "columnWidths": {
            _RUN_NAME: name_px,
            **{c: 38 + 7 * len(c.split("`")[1]) + extra_px for c in (*metrics, *params)},
        },
    }


def _leaderboard(available: Available) -> State:
    # The hidden list leaves its room to the answers when the same view is opened as a comparison.
    return _state(**_columns(available, name_px=300), runListHidden=True)


def _by_model(available: Available) -> State:
    # An average is over repeats: never over protocols, whose scores differ, nor over presets, machines and engine
    # modes, whose speed and energy do.
    apart = ("model", "effective/mode", "preset", "dataset/protocol_id", "hardware")
    keys = [{"mode": "param", "groupByData": name} for name in apart]
    by_model = {"aggregateFunction": "average", "groupByKeys": keys}
    return _state(**_columns(available, name_px=440, extra_px=70), groupBy=by_model)  # room for "(average)"


def _tradeoffs(available: Available) -> State:
    bars = available.shown(ViewBar).items()
    sections = {"Quality": "s2", "Cost": "s3"}
    charts = [
        *(_scatter("s1", name) for name in available.shown(ViewScatter)),
        _parallel("s1", ["model"], list(available.shown(ViewParallel))),
        *(_bar(sections[bar.section], name, bar.title) for name, bar in bars),
    ]
    names = ("Trade-offs" + ("" if available.measured_energy else " (energy modelled)"), *sections)
    return _state(compareRunCharts=charts, compareRunSections=_sections(names))


def _over_questions(available: Available) -> State:
    charts = [_line("s1", name) for name in available.shown(ViewLine)]
    charts += [_line("s2", name, over_time=True) for name in _SERIES]
    return _state(compareRunCharts=charts, compareRunSections=_sections(("Over questions", "The machine over time")))


def _sections(names: Sequence[str]) -> list[State]:
    return [
        {
            "uuid": f"s{number}",
            "name": name,
            "display": True,
            "isReordered": True,
            "deleted": False,
            "isGenerated": False,
            "columns": 2,
            "cardHeight": 400,
        }
        for number, name in enumerate(names, start=1)
    ]


def _chart(kind: str, section: str, identity: str, **settings: object) -> State:
    return {
        # Derived from the content, so that writing the same view again gives the same tag.
        "uuid": uuid.uuid5(uuid.NAMESPACE_URL, f"wattrack:{kind}:{section}:{identity}").hex,
        "type": kind,
        "runsCountToCompare": 100,
        "metricSectionId": section,
        "deleted": False,
        "isGenerated": False,
        **settings,
    }


def _bar(section: str, metric: str, title: str) -> State:
    return _chart("BAR", section, metric, metricKey=metric, displayName=title)


def _scatter(section: str, x: str) -> State:
    return _chart(
        "SCATTER",
        section,
        x,
        xaxis={"key": x, "type": "METRIC"},
        yaxis={"key": "quality/score", "type": "METRIC"},
    )


def _parallel(section: str, params: list[str], metrics: list[str]) -> State:
    return _chart("PARALLEL", section, "all", selectedParams=params, selectedMetrics=metrics, showAllRuns=False)


def _line(section: str, metric: str, over_time: bool = False) -> State:
    return _chart(
        "LINE",
        section,
        metric,
        metricKey=metric,
        selectedMetricKeys=[metric],
        lineSmoothness=0,
        xAxisScaleType="linear",
        scaleType="linear",
        range={},
        xAxisKey="time-relative" if over_time else "step",
        selectedXAxisMetricKey="",
        yAxisKey="metric",
        yAxisExpressions=[],
        ignoreOutliers=False,
        useGlobalXaxisKey=False,
        useGlobalLineSmoothing=True,
    )
