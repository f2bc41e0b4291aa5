"""Runs that were logged before: found by a condition, and as a table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wattrack.results.columns import metric, param, tag

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Run

_PAGE = 500


def search(client: "MlflowClient", condition: str) -> "list[Run]":
    """Every active run of every experiment that meets the condition, which must name a sweep, a key or a host."""
    found: list[Run] = []
    experiments = [e.experiment_id for e in client.search_experiments()]
    token: str | None = None
    while True:
        page = client.search_runs(experiments, condition, max_results=_PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def frame(runs: "Sequence[Run]") -> "pd.DataFrame":
    """One row per run, oldest first; columns as `Tracker.load_runs` says."""
    import pandas as pd

    rows = [
        {
            "run_id": run.info.run_id,
            "name": run.info.run_name,
            "experiment_id": run.info.experiment_id,
            "status": run.info.status,
            "start_unix_ms": run.info.start_time,
            "end_unix_ms": run.info.end_time,
            **{tag(name): value for name, value in run.data.tags.items()},
            **{param(name): value for name, value in run.data.params.items()},
            **{metric(name): value for name, value in run.data.metrics.items()},
        }
        for run in sorted(runs, key=lambda run: run.info.start_time)
    ]
    leading = ["run_id", "name", "experiment_id", "status", "start_unix_ms", "end_unix_ms"]
    names = dict.fromkeys([*leading, *(name for row in rows for name in row)])
    return pd.DataFrame(rows, columns=list(names))


def ids_by_questions(runs: "Sequence[Run]") -> dict[str, list[str]]:
    """What runs were asked (protocol, and the rows where needed) -> the ids of those runs, in the given order."""
    ids: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        tags = run.data.tags
        key = (tags.get("wattrack.protocol", ""), tags.get("wattrack.dataset_digest", ""))
        ids.setdefault(key, []).append(run.info.run_id)
    protocols = [protocol for protocol, _ in ids]
    return {
        protocol if protocols.count(protocol) == 1 else f"{protocol}, rows {digest[:8]}": of_set
        for (protocol, digest), of_set in ids.items()
    }
