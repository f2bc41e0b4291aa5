"""What a run's folder holds: its files by name, and which of them go to the store with the run."""

SCHEMA_VERSION = 1
"""Of the folder's format. Folders without a manifest were written before it and count as version 0."""

MANIFEST = "manifest.json"
"""Who the run is, what it was asked and what became of it."""
CONFIG = "config.yaml"
"""The whole resolved configuration, without secrets."""
ANSWERS = "responses.jsonl"
"""One line for each question and repeat, written while the engine answers."""
SEGMENTS = "segments.jsonl"
"""What each process that worked on the run measured, written while it works."""
PROBE = "probe.jsonl"
"""The answers of the latency probe, with their time stamps."""
READINGS = "readings.json"
"""The measured windows, codecarbon's figures and what could not be read, summed over all processes."""
SAMPLES = "system.parquet"
"""The sampled series."""
RECORDS = "records.parquet"
"""One row for each question and repeat, graded."""
SUMMARY = "summary.json"
"""The metrics and how they were obtained, for people and scripts; everything in it follows from the other files."""
JUDGEMENTS = "judgements.jsonl"
"""What a judge replied, where one was asked."""
LATENCY = "latency.json"
PHASES = "phases.json"
LOG = "job.log"

RESULTS = (PROBE, READINGS, SAMPLES, RECORDS, SUMMARY, LATENCY, PHASES)
"""Files that are written when a run has measured."""
ATTACHED = (
    MANIFEST,
    ANSWERS,
    PROBE,
    JUDGEMENTS,
    SUMMARY,
    RECORDS,
    READINGS,
    SAMPLES,
    LATENCY,
    PHASES,
    SEGMENTS,
    LOG,
)
"""Files that are attached to the MLflow run below `job/`, where they exist; config.yaml is its own artifact."""
ARTIFACTS = (f"config/{CONFIG}", *(f"job/{name}" for name in ATTACHED if name != LOG))
"""Where the store has what a reader of the folder needs."""
