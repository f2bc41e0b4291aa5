"""The tracker: one job or sweep in, one MLflow run out.

Importing this module is cheap; MLflow itself is imported when a store is first touched. Runs are addressed by
their id, never through MLflow's global state, so that jobs of one process cannot reach into each other's
runs.
"""

import getpass
import logging
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wattrack import processes
from wattrack.errors import TrackingError
from wattrack.metrics.rows import unknown_metrics
from wattrack.redaction import redacted
from wattrack.schema import JobResult, JobStart
from wattrack.tracking import contents, entries, queries, views
from wattrack.tracking.colors import model_color
from wattrack.tracking.database import ensure_store, quiet_environment, sqlite_path, store_uri
from wattrack.tracking.essential import essential
from wattrack.tracking.ui import ui_command

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Run

__all__ = ["Tracker", "ensure_store", "quiet_environment", "store_uri", "ui_command"]

log = logging.getLogger(__name__)

Status = Literal["FINISHED", "FAILED", "KILLED"]

_ENDS = ("FINISHED", "FAILED", "KILLED")


class Tracker:
    """Writes and finds runs.

    Args:
        uri: the store, as `store_uri` gives it and `ensure_store` has checked it.
        experiment: name of the experiment that `start` writes to, made when missing; None = look at all of them.
        artifact_root: folder for the artifacts of a local store, one folder per experiment; None = beside the
            database. A server keeps its own.
        traces: `all`, `none` or how many questions of a run become traces (plus at most as many wrong answers).
    """

    def __init__(
        self, uri: str, experiment: str | None, artifact_root: Path | None = None, traces: str | int = 50
    ) -> None:
        self.uri = uri
        self.experiment = experiment
        self._artifact_root = artifact_root
        self._traces = traces

    @cached_property
    def _client(self) -> "MlflowClient":
        quiet_environment()
        from mlflow import MlflowClient

        with essential(f"the store {self.uri} cannot be opened"):
            return MlflowClient(tracking_uri=self.uri)

    @cached_property
    def experiment_id(self) -> str:
        """Id of this tracker's experiment, which is made when missing."""
        if self.experiment is None:
            raise TrackingError("This tracker looks at all experiments; runs are started with a named one.")
        with essential(f"the experiment {self.experiment} cannot be opened"):
            found = self._client.get_experiment_by_name(self.experiment)
            if found is None:
                return self._create_experiment(self.experiment)
        if found.lifecycle_stage != "active":
            raise TrackingError(
                f"The MLflow experiment {self.experiment} is deleted: restore it with "
                f"`mlflow experiments restore --experiment-id {found.experiment_id}` "
                "or set another tracking.experiment."
            )
        identity: str = found.experiment_id
        return identity

    def _create_experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        location, database = None, sqlite_path(self.uri)
        if database is not None:
            # Never MLflow's default, which is relative to the folder that the first job happened to run in.
            root = self._artifact_root or database.parent
            location = (root.resolve() / re.sub(r"[^\w\-.]", "_", name)).as_uri()
        try:
            identity: str = self._client.create_experiment(name, artifact_location=location)
        except MlflowException:
            # Another job may have made it in this moment.
            if (found := self._client.get_experiment_by_name(name)) is None:
                raise
            identity = found.experiment_id
        return identity

    def start(self, job: JobStart) -> str:
        """Open a run with everything known before it works; returns the run id.

        Raises:
            TrackingError: the store cannot be written; no run is left RUNNING then.
        """
        model = str(job.params.get("model", job.name))
        tags = {
            "mlflow.user": _user(),
            "mlflow.source.name": "wattrack",
            "mlflow.source.type": "LOCAL",
            **entries.tag_values(job.tags),
            **processes.owner_tags(),
            "wattrack.kind": job.kind,
            "wattrack.output_dir": job.output_dir,
        }
        if job.kind == "job":
            tags["mlflow.runColor"] = model_color(model)
        with essential(f"the run {job.name} cannot be opened"):
            run = self._client.create_run(self.experiment_id, tags=tags, run_name=job.name)
        run_id: str = run.info.run_id
        try:
            with essential(f"the settings of {job.name} cannot be logged"):
                contents.log_batch(self._client, run_id, params=entries.param_values(job.params))
                self._client.log_text(run_id, job.config_yaml, "config/config.yaml")
        except BaseException:
            self._try("the run stays RUNNING until `wattrack doctor`", lambda: self.end(run_id, "FAILED", None))
            raise
        return run_id

    def log(self, run_id: str, result: JobResult) -> None:
        """Log everything a finished job gave.

        Raises:
            TrackingError: a metric is unknown, or numbers, parameters or tables could not be written (the
                results in the job's folder are untouched by that). Plots, traces, views and the description
                only cost a warning.
        """
        names = set(result.metrics) | {name for name, *_ in result.running}
        if unknown := unknown_metrics(names):
            raise TrackingError(f"metrics without a row in METRICS: {', '.join(sorted(unknown))}")
        with essential(f"the results of run {run_id} cannot be logged; they are on disk in the job's folder"):
            run = self._client.get_run(run_id)
            contents.log_numbers(self._client, run, result)
            contents.log_dataset(self._client, run_id, result)
            contents.log_tables(self._client, run_id, result)
        model = run.data.params.get("model", run.info.run_name)
        note = {"mlflow.note.content": entries.cut(result.description, entries.TAG_CHARS)}
        self._try("the run has no description", lambda: contents.log_batch(self._client, run_id, tags=note))
        self._try("the run has no plots", lambda: contents.log_plots(self._client, run_id, model, result))
        self._try(
            "the run cannot be compared by traces",
            lambda: contents.log_traces(self.uri, run, model, result, self._traces),
        )
        self.save_views()

    def log_sweep(self, run_id: str, runs: "pd.DataFrame", description: str) -> None:
        """Log the comparison of a sweep's jobs, given as `load_runs` returns them.

        Raises:
            TrackingError: the comparison table could not be written. Plots and description only cost a
                warning.
        """
        from wattrack.tracking.tables import comparison_frame

        counts = runs["status"].value_counts()
        tags = {f"wattrack.{status.lower()}": str(int(counts.get(status, 0))) for status in _ENDS}
        table = comparison_frame(runs)
        with essential(f"the comparison of run {run_id} cannot be logged"), contents.scratch() as folder:
            contents.log_batch(self._client, run_id, tags=tags)
            self._client.log_table(run_id, table.copy(), "tables/comparison.json")
            table.to_csv(folder / "comparison.csv", index=False)
            self._client.log_artifact(run_id, str(folder / "comparison.csv"), "tables")
        note = {"mlflow.note.content": entries.cut(description, entries.TAG_CHARS)}
        self._try("the sweep's run has no description", lambda: contents.log_batch(self._client, run_id, tags=note))
        self._try("the sweep's run has no plots", lambda: contents.log_sweep_plots(self._client, run_id, runs))

    def log_file(self, run_id: str, path: Path, artifact_dir: str) -> None:
        """Attach a file to the run. Raises TrackingError when it cannot be copied."""
        with essential(f"{path} cannot be attached to run {run_id}"):
            self._client.log_artifact(run_id, str(path), artifact_dir)

    def end(self, run_id: str, status: Status, error: str | None) -> None:
        """Close the run; `error` becomes the tag wattrack.error. TrackingError when the store cannot be written."""
        with essential(f"the run {run_id} cannot be closed as {status}"):
            if error is not None:
                contents.log_batch(self._client, run_id, tags=entries.tag_values({"wattrack.error": error}))
            self._client.set_terminated(run_id, status)

    def load_runs(self, sweep_id: str) -> "pd.DataFrame":
        """The job runs of a sweep, oldest first, in whatever experiment they are.

        Columns: run_id, name, experiment_id, status, start_unix_ms, end_unix_ms, then `tags.<name>` and
        `params.<name>` (text) and `metrics.<name>` (float); NaN where a run has none. Empty when the sweep has no runs.
        """
        return queries.frame(self._search(f"{views.JOBS_ONLY} and tags.`wattrack.sweep_id` = '{sweep_id}'"))

    def sweep_runs(self, sweep_id: str) -> list[str]:
        """Ids of the runs that compare the sweep's jobs."""
        found = self._search(f"tags.`wattrack.kind` = 'sweep' and tags.`wattrack.sweep_id` = '{sweep_id}'")
        return [run.info.run_id for run in found]

    def delete(self, run_id: str) -> None:
        """Take a run out of sight. TrackingError when the store cannot be written."""
        with essential(f"the run {run_id} cannot be deleted"):
            self._client.delete_run(run_id)

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Add tags to an open run. Raises TrackingError when the store cannot be written."""
        with essential(f"the run {run_id} cannot be labelled"):
            contents.log_batch(self._client, run_id, tags=entries.tag_values(tags))

    def unfinished(self, run_key: str, before: str) -> "list[Run]":
        """The runs on this host with that identity that were interrupted since one finished, without `before`.

        The latest is first.
        """
        host = processes.owner_tags()["wattrack.host"]
        found = self._search(
            f"{views.JOBS_ONLY} and tags.`wattrack.run_key` = '{run_key}' and tags.`wattrack.host` = '{host}'"
        )
        others = sorted((r for r in found if r.info.run_id != before), key=lambda r: r.info.start_time, reverse=True)
        return list(takewhile(lambda r: r.info.status in ("KILLED", "FAILED"), others))

    def download(self, run_id: str, artifacts: Collection[str], folder: Path) -> None:
        """Copy the named files of a run into `folder`, without their folders; one that the run lacks is left out.

        Raises:
            TrackingError: there is no such run, or the store cannot be read.
        """
        with essential(f"the files of run {run_id} cannot be read"):
            self._client.get_run(run_id)
            for place in dict.fromkeys(name.rpartition("/")[0] for name in artifacts):
                for found in self._client.list_artifacts(run_id, place):
                    if found.path in artifacts:
                        copied = Path(self._client.download_artifacts(run_id, found.path, str(folder)))
                        copied.replace(folder / copied.name)

    def close_dead_runs(self, keep: Collection[str] = ()) -> dict[str, Status]:
        """End what was left RUNNING on this host by processes that are gone, or by this process itself.

        KILLED, unless the job's folder says that it had finished and only its run could not be ended.

        Args:
            keep: runs of this process that are still at work.

        Returns:
            How each run was ended, by its id.
        """
        host = processes.owner_tags()["wattrack.host"]
        running = self._search(f"attributes.status = 'RUNNING' and tags.`wattrack.host` = '{host}'")
        ended: dict[str, Status] = {}
        for run in running:
            run_id, tags = run.info.run_id, run.data.tags
            if run_id in keep or (processes.is_alive(tags) and not processes.is_mine(tags)):
                continue
            finished = processes.had_finished(run_id, tags)
            ended[run_id] = "FINISHED" if finished else "KILLED"
            self.end(run_id, ended[run_id], None if finished else "the process ended without closing the run")
        return ended

    def save_views(self) -> None:
        """Write the saved views of this tracker's experiment; a failure costs a warning."""
        self._try("the UI opens without arranged views", self._save_views)

    def links(self, run_ids: Sequence[str], base_url: str) -> list[tuple[str, str]]:
        """(title, URL) of the pages worth opening for these runs, in every experiment they belong to."""
        with essential("the runs to link to cannot be read"):
            runs = [self._client.get_run(run_id) for run_id in run_ids]
        runs.sort(key=lambda run: -run.data.metrics.get("quality/score", -1.0))
        links = []
        experiments = list(dict.fromkeys(run.info.experiment_id for run in runs)) or [self.experiment_id]
        for identity in experiments:
            mine = queries.ids_by_questions([run for run in runs if run.info.experiment_id == identity])
            found = views.deep_links(base_url, identity, mine)
            name = self._client.get_experiment(identity).name if len(experiments) > 1 else ""
            links += [(f"{name}: {title}" if name else title, url) for title, url in found]
        return links

    def _save_views(self) -> None:
        available = views.Available(
            measured_energy=self._any_run_has("energy/measured_wh"),
            gpu_memory=self._any_run_has("memory/vram_peak_gib"),
            generated=self._any_run_has("tokens/output"),
        )
        present = self._client.get_experiment(self.experiment_id).tags
        for name, value in views.view_tags(available).items():
            if not views.same_view(present.get(name), value):
                self._client.set_experiment_tag(self.experiment_id, name, value)

    def _any_run_has(self, metric: str) -> bool:
        found = self._client.search_runs(
            [self.experiment_id], f"{views.JOBS_ONLY} and metrics.`{metric}` >= 0", max_results=1
        )
        return len(found) > 0

    def _search(self, condition: str) -> "list[Run]":
        with essential("the store's runs cannot be searched"):
            return queries.search(self._client, condition)

    def _try(self, consequence: str, action: Callable[[], None]) -> None:
        """Do what a run can live without; whatever goes wrong costs one line that names the consequence."""
        try:
            action()
        except Exception as e:  # noqa: BLE001  plots, traces and views never lose a result, whatever breaks in them
            reason = redacted(str(e).partition("\n")[0])
            log.warning("MLflow: %s (%s: %s)", consequence, type(e).__name__, reason)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"
