"""Memory: peaks, what a job added, and what was predicted."""

from wattrack.metrics.metric import Metric
from wattrack.metrics.shown import (
    ComparisonTable,
    Description,
    JobTable,
    SweepPlot,
    SweepTable,
    ViewBar,
    ViewColumn,
    ViewParallel,
    ViewScatter,
)

_CHECK = "it is a check of the peak, which is shown; the tags plausibility.* say what came of it"
_OTHER = "it is another reading of the peak, which is shown"

ROWS = {
    "memory/vram_peak_gib": Metric(
        "GiB",
        "lower",
        "peak device memory in the generate window, all devices used (NVML)",
        (
            JobTable(8301),
            Description(8301),
            SweepTable(8301, "VRAM GiB"),
            ComparisonTable(8301),
            SweepPlot(8301, "peak GPU memory"),
            ViewColumn(8301, "GPU memory"),
            ViewScatter(8301, "GPU memory"),
            ViewParallel(1, "GPU memory"),
            ViewBar(8301, "GPU memory", title="peak memory (GiB)"),
        ),
    ),
    "memory/rss_peak_gib": Metric(
        "GiB",
        "lower",
        "peak resident memory of the process tree (Python and libraries included)",
        (JobTable(8302), Description(8302)),
    ),
    "memory/rss_added_gib": Metric(
        "GiB",
        "lower",
        "peak resident memory of the generate window minus what the process held before loading",
        (
            JobTable(8303),
            SweepTable(8303, "RSS added GiB", dropped=3),
            ComparisonTable(8303),
            SweepPlot(8303, "resident memory added"),
            ViewColumn(8303, "host memory"),
            ViewScatter(8303, "host memory"),
            ViewParallel(2, "host memory"),
            ViewBar(8303, "host memory", title="peak memory (GiB)"),
        ),
    ),
    "memory/vram_process_peak_gib": Metric(
        "GiB",
        "lower",
        "peak device memory of this process tree in the generate window (NVML's process list)",
        not_shown=_OTHER,
    ),
    "memory/vram_added_gib": Metric(
        "GiB",
        "lower",
        "peak device memory of the generate window minus what was in use on the GPUs before loading",
        not_shown=_OTHER,
    ),
    "memory/vram_occupancy_percent": Metric(
        "%",
        "neither",
        "vram_peak / the memory of all devices used; says how full they were, not how well used",
        not_shown=_OTHER,
    ),
    "memory/vram_allocated_peak_gib": Metric(
        "GiB", "lower", "peak of tensors in the generate window (torch allocator)", not_shown=_OTHER
    ),
    "memory/vram_reserved_peak_gib": Metric(
        "GiB", "lower", "peak reserved by torch's allocator, generate window", not_shown=_OTHER
    ),
    "memory/weights_gib": Metric(
        "GiB", "lower", "bytes of the loaded parameters and buffers", not_shown="it is a part of the peak"
    ),
    "memory/vram_predicted_gib": Metric(
        "GiB",
        "neither",
        "vram_peak predicted before loading: weights, KV cache, activations and CUDA context",
        not_shown=_CHECK,
    ),
    "memory/rss_predicted_gib": Metric(
        "GiB",
        "neither",
        "rss_peak predicted before loading: the process, weights, KV cache and activations",
        not_shown=_CHECK,
    ),
    "memory/prediction_error_percent": Metric(
        "%",
        "neither",
        "(predicted - measured peak) / measured peak x 100; an upper bound, so above 0 as a rule",
        not_shown=_CHECK,
    ),
    "memory/kept_gib": Metric(
        "GiB",
        "neither",
        "what loading had added for a model kept from an earlier job of the process",
        not_shown="it is already counted in what the job added",
    ),
    "memory/left_over_gib": Metric(
        "GiB",
        "lower",
        "memory that did not come back from an earlier job's model, freed before this one loaded",
        not_shown="it belongs to an earlier job of the same process",
    ),
}
