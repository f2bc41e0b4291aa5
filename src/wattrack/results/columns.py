"""How the columns of a table of stored runs are called: as MLflow's own `search_runs` calls them.

`tags.<name>`, `params.<name>` and `metrics.<name>` keep apart what a run was labelled, asked for and measured, so that
a parameter `name` is not taken for the run's name. Beside them stand run_id, name, experiment_id, status, start_unix_ms
and end_unix_ms, which belong to the run itself.
"""

from collections.abc import Mapping

_METRICS = "metrics."


def tag(name: str) -> str:
    """The column of a tag."""
    return f"tags.{name}"


def param(name: str) -> str:
    """The column of a parameter."""
    return f"params.{name}"


def metric(name: str) -> str:
    """The column of a metric."""
    return f"{_METRICS}{name}"


def metrics_of(run: Mapping[str, object]) -> dict[str, float]:
    """The metrics of a row by their bare names; NaN where another run has one and this run has not."""
    return {
        key.removeprefix(_METRICS): float(value)
        for key, value in run.items()
        if key.startswith(_METRICS) and isinstance(value, int | float)
    }
