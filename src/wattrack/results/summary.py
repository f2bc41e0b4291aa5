"""Records and readings to {metric: value or None}. Pure; every key is in METRICS."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from wattrack.intervals import mean, pass_at_k, percentiles, ratio, wilson
from wattrack.metrics.families.code import PASS_AT
from wattrack.metrics.families.sampled import LOADS
from wattrack.metrics.rows import METRICS, POOLED
from wattrack.prompts.turns import conversation
from wattrack.results.footprint import WH_J, Prices, cost, energy
from wattrack.results.latency import latency
from wattrack.schema import ChoiceRequest, Readings, Record, Request, Response, SystemSample, Window
from wattrack.scorers import reasoning

Metrics = dict[str, float | None]

_NEAR_TIE = 0.05
"""Nats between the two best choices below which a half-precision kernel's rounding can change the answer."""

_OF_GPUS: Mapping[str, Callable[[list[float]], float]] = {"sum": math.fsum, "min": min, "max": max}

_RESTS_ON_SCORE = frozenset({"energy/j_per_correct", "energy/score_per_wh", "cost/usd_per_1k_correct"})


def summarize(
    records: Sequence[Record],
    probe: Sequence[Response],
    readings: Readings,
    engine: Mapping[str, float | None],
    prices: Prices,
) -> Metrics:
    """Every metric of a job. `engine` gives what only the engine knows, by metric name (tokens/computed, ...)."""
    generate = readings.window("generate")
    metrics: Metrics = {
        **quality(records),
        **latency(probe),
        **tokens(records),
        **throughput(records, generate),
        **{name: peak for name, peak in (generate.peaks if generate else {}).items() if name in METRICS},
        **memory_added(readings, generate, engine),
        **energy(readings),
        **loads(readings.samples, generate),
        **times(readings),
        **engine,
    }
    metrics |= derived(records, metrics)
    metrics |= cost(metrics, readings, prices, math.fsum(r.score for r in scored(records)))
    return metrics


def unscored(metrics: Metrics) -> Metrics:
    """The metrics of a model with random weights: whatever rests on answers being right is withheld."""
    kept = {"quality/n", "quality/error_rate"}
    return {
        name: None if (name.startswith("quality/") and name not in kept) or name in _RESTS_ON_SCORE else value
        for name, value in metrics.items()
    }


def unscored_records(records: Sequence[Record]) -> tuple[Record, ...]:
    """The same answers with NaN for a score, which tables show as an empty cell."""
    why = "random weights: not scored"
    return tuple(replace(r, score=math.nan, answer=None, metrics={}, explanation=why) for r in records)


def quality(records: Sequence[Record]) -> Metrics:
    """Score with interval, every task metric, and how much of it to believe."""
    n = len(records)
    by_question: dict[str, list[float]] = defaultdict(list)
    for record in scored(records):
        by_question[record.id].append(record.score)
    # Repeats of one question are not independent: average inside a question first, n of the interval = questions.
    score = mean([math.fsum(scores) / len(scores) for scores in by_question.values()])
    # Neither are the turns of one conversation: the interval counts conversations.
    low, high = wilson(score, len({conversation(id_) for id_ in by_question})) if score is not None else (None, None)
    names = sorted({name for record in records for name in record.metrics})
    answered = [r for r in records if r.error is None]
    written = _written(answered)
    return {
        "quality/score": score,
        "quality/score_ci_low": low,
        "quality/score_ci_high": high,
        "quality/score_n": float(len(by_question)) or None,
        "quality/n": float(n),
        "quality/error_rate": _share(r.error is not None for r in records),
        "quality/truncated_rate": _share(r.finish_reason == "length" for r in written),
        "quality/extraction_failure_rate": _share(r.answer is None for r in answered),
        "quality/empty_rate": _share(not r.output.strip() for r in written),
        # A metric of some questions only (a category's) has those as its denominator; failed ones hold zeros.
        **{f"quality/{name}": _metric_mean(name, [r for r in records if name in r.metrics]) for name in names},
        **choice_quality(records),
        **thinking(answered),
        **repeated_quality(records),
    }


def grammar(requests: Iterable[Request | ChoiceRequest], records: Sequence[Record]) -> Metrics:
    """How many constrained answers ended as whole values; nothing where no request was constrained."""
    asked = {(r.sample_id, r.repeat) for r in requests if isinstance(r, Request) and r.constraint is not None}
    if not asked:
        return {}
    return {
        "quality/grammar_complete_rate": _share(r.finish_reason == "stop" for r in records if (r.id, r.repeat) in asked)
    }


def repeated_quality(records: Sequence[Record]) -> Metrics:
    """pass@k of programs, where every question was asked at least k times."""
    passed: dict[str, list[bool]] = defaultdict(list)
    for record in records:
        if "pass_at_1" in record.metrics:
            passed[record.id].append(record.metrics["pass_at_1"] == 1.0)
    fewest = min(map(len, passed.values()), default=0)
    return {
        f"quality/pass_at_{k}": mean([pass_at_k(len(flags), sum(flags), k) for flags in passed.values()])
        for k in PASS_AT
        if fewest >= k
    }


def scored(records: Iterable[Record]) -> list[Record]:
    """Records that count for the headline; the others are judged by metrics of their own."""
    return [r for r in records if not math.isnan(r.score)]


def _metric_mean(name: str, records: Sequence[Record]) -> float | None:
    """Over questions or, of a pooled metric, over their parts; the repeats of a question are averaged first."""
    repeats = Counter(record.id for record in records)
    weights = [(record.metrics[POOLED[name]] if name in POOLED else 1.0) / repeats[record.id] for record in records]
    total = math.fsum(record.metrics[name] * weight for record, weight in zip(records, weights, strict=True))
    return ratio(total, math.fsum(weights))


def choice_quality(records: Sequence[Record]) -> Metrics:
    """Multiple choice: how much rounding could change; None for open questions. The means over groups, of any."""
    margins = [r.margin for r in records if r.margin is not None]
    return {
        "quality/acc_macro": _macro("acc", records),
        "quality/exact_match_macro": _macro("exact_match_strict", records),
        "quality/letter_macro": _macro("letter_flexible", records),
        "quality/near_tie_rate": _share(margin < _NEAR_TIE for margin in margins),
        "quality/boundary_merge_rate": _share(
            r.merged_boundaries > 0 for r in records if r.merged_boundaries is not None
        ),
    }


def thinking(answered: Sequence[Record]) -> Metrics:
    """Reasoning that models write before they answer; None where nothing was written."""
    written = _written(answered)
    replies = [reasoning.read(r.output, r.prompt_text) for r in written]
    cut = [reply.unfinished and r.finish_reason == "length" for reply, r in zip(replies, written, strict=True)]
    known = [r.thinking_tokens for r in written if r.thinking_tokens is not None]
    counted = len(known) == len(written)  # a mean over some of the answers would be of those alone
    return {
        "quality/truncated_thinking_rate": _share(cut),
        "answers/thinking_chars_mean": mean([float(reply.thinking_chars) for reply in replies]),
        "answers/thinking_tokens_mean": mean([float(n) for n in known]) if counted else None,
        "answers/thinking_token_share": (
            ratio(float(sum(known)), _sum([r.output_tokens for r in written])) if counted else None
        ),
    }


def _macro(name: str, records: Sequence[Record]) -> float | None:
    """A metric's mean over groups, each of which weighs the same."""
    by_group: dict[str, list[float]] = defaultdict(list)
    for record in records:
        if record.group is not None and name in record.metrics:
            by_group[record.group].append(record.metrics[name])
    return mean([math.fsum(values) / len(values) for values in by_group.values()])


def _share(flags: Iterable[bool]) -> float | None:
    return mean([float(flag) for flag in flags])


def tokens(records: Sequence[Record]) -> Metrics:
    """Real ids by the model's own tokenizer, padding excluded; nothing about outputs where none was written."""
    answered = [r for r in records if r.error is None]
    written = _written(answered)
    output = _sum([r.output_tokens for r in answered])
    return {
        "tokens/input": _sum([r.input_tokens for r in answered]),
        "tokens/output": output if written or not answered else None,
        "tokens/output_mean": ratio(output, float(len(written))),
        "answers/chars_mean": mean([float(len(r.output)) for r in written]),
        "answers/words_mean": mean([float(len(r.output.split())) for r in written]),
    }


def _sum(counts: Sequence[int | None]) -> float | None:
    """The total; None where any of them is not known."""
    known = [count for count in counts if count is not None]
    return float(sum(known)) if len(known) == len(counts) else None


def _written(records: Iterable[Record]) -> list[Record]:
    """Records whose output the model generated; a choice is only compared."""
    return [r for r in records if r.logprobs is None]


def throughput(records: Sequence[Record], window: Window | None) -> Metrics:
    """Totals over the generate window's wall time; never a mean of rates."""
    wall = window.duration_s if window else None
    answered = [r for r in records if r.error is None]
    # An answer that was copied from an identical request took no row and has no time.
    in_flight_s = [r.latency_s for r in answered if r.latency_s is not None]
    return {
        "throughput/output_tokens_per_s": (
            ratio(_sum([r.output_tokens for r in answered]), wall) if _written(answered) or not answered else None
        ),
        "throughput/prompt_tokens_per_s": ratio(_sum([r.input_tokens for r in answered]), wall),
        "throughput/questions_per_s": ratio(float(len(answered)), wall),
        "throughput/rows_mean": ratio(math.fsum(in_flight_s), wall) if in_flight_s else None,
    }


def memory_added(readings: Readings, window: Window | None, engine: Mapping[str, float | None]) -> Metrics:
    """GiB that this job added to the process and to the GPUs; a model kept from an earlier job counts where it is."""
    kept_gib = engine.get("memory/kept_gib") or 0.0
    on_gpu = engine.get("memory/vram_predicted_gib") is not None
    vram = window.peaks.get("memory/vram_added_gib") if window else None
    return {
        "memory/rss_added_gib": rss_added(readings, window, 0.0 if on_gpu else kept_gib),
        "memory/vram_added_gib": None if vram is None else vram + (kept_gib if on_gpu else 0.0),
    }


def rss_added(readings: Readings, window: Window | None, kept_gib: float = 0.0) -> float | None:
    """GiB that loading and generating added to the process.

    Jobs of a sweep share a process, and what earlier ones left behind (allocator pools, kernel caches) is in its peak;
    the first sample, taken as the meters open and before the model loads, is what this job did not cause. A model kept
    from an earlier job is in that sample too, and counts here with what its loading had added.
    """
    peak = window.peaks.get("memory/rss_peak_gib") if window else None
    before = next((s.values.get("system/process_rss_megabytes") for s in readings.samples), None)
    return None if peak is None or before is None else max(0.0, peak - before * 1e6 / 2**30) + kept_gib


def loads(samples: Sequence[SystemSample], window: Window | None) -> Metrics:
    """Aggregates of the sampled power, utilisation, clock and temperature in the generate window; needs two samples."""
    found: Metrics = {}
    inside = [s for s in samples if window is not None and window.start_s <= s.time_s <= window.end_s]
    for name, load in LOADS.items():
        values = [
            _OF_GPUS[load.of_gpus](matching)
            for sample in inside
            if (matching := [v for key, v in sample.values.items() if re.fullmatch(load.series, key)])
        ]
        if len(values) > 1:
            every = {"mean": mean(values), "min": min(values), "peak": max(values), "p95": percentiles(values)["p95"]}
            found |= {name.format(kind): every[kind] for kind in load.kinds}
    return found


def times(readings: Readings) -> Metrics:
    """Wall time of each phase."""
    return {f"time/{w.name}_s": w.duration_s for w in readings.windows}


def derived(records: Sequence[Record], metrics: Metrics) -> Metrics:
    """Ratios of the numbers above; None where either side is."""
    wh = metrics.get("energy/measured_wh")
    joules = wh * WH_J if wh is not None else None
    correct = math.fsum(r.score for r in scored(records))
    speed = metrics.get("throughput/output_tokens_per_s")
    memory = metrics.get("memory/vram_peak_gib") or metrics.get("memory/rss_peak_gib")
    rows = mean([float(r.batch_size) for r in records if r.error is None])
    predicted, peak = (
        metrics.get(f"memory/{'vram' if metrics.get('memory/vram_predicted_gib') else 'rss'}_{name}_gib")
        for name in ("predicted", "peak")
    )
    single = metrics.get("latency/decode_tokens_per_s")
    return {
        "energy/j_per_output_token": ratio(joules, metrics.get("tokens/output")),
        "energy/j_per_correct": ratio(joules, correct),
        "energy/wh_per_question": ratio(wh, metrics.get("quality/n")),
        "energy/j_per_question": ratio(joules, metrics.get("quality/n")),
        "energy/score_per_wh": ratio(metrics.get("quality/score"), wh),
        "memory/prediction_error_percent": ratio(100 * (predicted - peak), peak) if predicted and peak else None,
        "throughput/output_tokens_per_s_per_gib": ratio(speed, memory),
        "throughput/batch_efficiency": ratio(speed, rows * single if rows and single else None),
    }


def running(
    records: Sequence[Record], energy_points: Sequence[tuple[int, int, float]]
) -> tuple[tuple[str, int, int, float], ...]:
    """The running series, one point per finished batch: (metric, questions done, unix ms, value).

    `energy_points` are (questions done, unix ms, measured joules so far), taken while the batches finished.
    """
    answered = sorted((r for r in records if r.error is None), key=lambda r: r.started_unix_ms)
    points: list[tuple[str, int, int, float]] = []
    done, judged, total = 0, 0, 0.0
    for started_unix_ms, batch in groupby(answered, key=lambda r: r.started_unix_ms):
        rows = list(batch)
        done += len(rows)
        judged += len(scored(rows))
        total += math.fsum(r.score for r in scored(rows))
        slowest_s = max(r.latency_s or 0.0 for r in rows)
        if judged:
            points.append(("running/score", done, started_unix_ms + int(slowest_s * 1000), total / judged))
    points += [("running/energy_wh", done, unix_ms, joules / WH_J) for done, unix_ms, joules in energy_points]
    return tuple(points)
