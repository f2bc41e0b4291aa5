"""The results of one run: every metric, tag and sentence, a pure function of what its folder holds."""

from omegaconf import DictConfig

from wattrack.errors import DatasetError
from wattrack.results import plausibility
from wattrack.results.conditions import conditions
from wattrack.results.description import describe, source_tags
from wattrack.results.footprint import Prices
from wattrack.results.plausibility import Evidence
from wattrack.results.summary import Metrics, running, summarize, unscored
from wattrack.runs.manifest import Measurement
from wattrack.runs.read import Run
from wattrack.schema import JobResult

UNSCORED = "unscored: no judge"
_OF_COMPUTING = ("throughput/", "latency/", "memory/", "energy/", "carbon/", "cost/", "load/", "tokens/computed")
"""Metrics that say something of a model only where it computed."""


def job_result(run: Run) -> JobResult:
    """What tracking shows of a run that has measured, or has been graded again.

    Raises:
        DatasetError: the run did not get that far, or a file of its folder is damaged.
    """
    manifest = run.manifest
    if manifest.identity is None or not manifest.complete:
        raise DatasetError(f"{run.shown}: the run ended before it had results ({manifest.outcome.status})")
    if (settled := manifest.settled) is not None:
        return JobResult(
            metrics=settled.metrics,
            params=settled.params,
            tags={"wattrack.run_key": manifest.identity.run_key, **settled.tags},
            records=run.records,
            probe=run.probe,
            readings=run.readings,
            dataset=manifest.identity.dataset,
            description=settled.description,
            running=settled.running,
        )
    assert manifest.measurement is not None
    return _measured(run, manifest.measurement)


def _measured(run: Run, measurement: Measurement) -> JobResult:
    cfg, identity = run.cfg, run.manifest.identity
    assert identity is not None
    random_weights = str(cfg.model.weights) == "random"
    metrics, facts = _metrics(run, measurement), {**measurement.engine.params(), **measurement.facts}
    series = running(run.records, measurement.energy_points)
    if random_weights:
        metrics = unscored(metrics)
        series = tuple(point for point in series if point[0] != "running/score")
    checks = plausibility.examine(
        Evidence(
            metrics=metrics,
            engine=measurement.engine,
            hardware=measurement.hardware,
            records=run.records,
            probe=run.probe,
            readings=run.readings,
            references=measurement.references,
            bandwidth_gb_s=cfg.hardware.memory_bandwidth_gb_s,
            peak_tflops=cfg.hardware.peak_tflops,
        )
    )
    judged = cfg.dataset.protocols[cfg.dataset.protocol].judging is not None
    return JobResult(
        metrics=metrics,
        params={
            **facts,
            "dataset/protocol_id": identity.dataset.protocol,
            "dataset/prompt_sha256": identity.prompt_sha256,
        },
        tags={
            "wattrack.run_key": identity.run_key,
            **_segment_tags(measurement),
            **measurement.hardware,
            **source_tags(run.readings),
            **conditions(measurement.engine, cfg.preset.batch_size, run.records, run.probe),
            **plausibility.tags(checks),
            **({"quality.status": UNSCORED} if judged else {}),
        },
        records=run.records,
        probe=run.probe,
        readings=run.readings,
        dataset=identity.dataset,
        description=describe(run.manifest.name, metrics, run.readings, identity.dataset, facts, checks),
        running=series,
    )


def _segment_tags(measurement: Measurement) -> dict[str, str]:
    """How many processes the totals are sums over, and which run was continued."""
    tags = {"wattrack.segments": str(measurement.segments)}
    return tags if measurement.continues is None else {**tags, "wattrack.continues": measurement.continues}


def _metrics(run: Run, measurement: Measurement) -> Metrics:
    by_engine = {
        **{name: value for name, value in measurement.engine.metrics().items() if value is not None},
        "tokens/computed": float(measurement.computed_tokens),
        "time/total_s": measurement.total_s,
    }
    metrics = summarize(run.records, run.probe, run.readings, by_engine, _prices(run.cfg))
    if measurement.engine.replayed:
        metrics = {name: None if name.startswith(_OF_COMPUTING) else value for name, value in metrics.items()}
    return metrics | {f"quality/{name}": value for name, value in measurement.aggregates.items()}


def _prices(cfg: DictConfig) -> Prices:
    machine = cfg.hardware
    return Prices(
        hourly_usd=machine.hourly_usd,
        usd_per_kwh=machine.usd_per_kwh,
        carbon_g_per_kwh=machine.carbon_intensity_g_per_kwh,
        pue=machine.pue,
    )
