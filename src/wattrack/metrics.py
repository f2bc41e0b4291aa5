"""METRICS: the only list of what is measured. A metric exists when it has a row here: unit, better direction, meaning.

Names follow design rules: `/` groups them in the MLflow UI and the unit is in the name. Tables, plots, views and the
README read this list; a summary with a key that is not here is a bug and fails a test.
"""

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True, slots=True)
class Metric:
    """What one number is."""

    unit: str
    better: Better
    meaning: str


PERCENTILES: tuple[tuple[str, float, int], ...] = (
    ("p50", 50, 1),
    ("p90", 90, 10),
    ("p95", 95, 20),
    ("p99", 99, 100),
)
"""(suffix, percentile, fewest values): with fewer values the percentile is withheld."""

_LATENCIES = {
    "ttft_s": "time to first token at batch 1, prompt tensor ready to first token on the host (latency probe)",
    "itl_s": "gap between successive tokens at batch 1, pooled over the probe's tokens, first token excluded",
    "e2e_s": "submission to last token, or to the choice, at batch 1 (latency probe)",
}

INTERVAL_LATENCIES = ("ttft_s", "e2e_s")
"""Those with one independent value per request, so that their percentiles have an interval."""


@dataclass(frozen=True, slots=True)
class Load:
    """Aggregates of one of the sampler's series over the generate window."""

    series: str
    """Pattern of the series' names, one for each GPU."""
    unit: str
    meaning: str
    kinds: tuple[str, ...] = ("mean", "p95", "peak")
    """Of mean, min, p95 and peak over time."""
    of_gpus: Literal["sum", "min", "max"] = "sum"
    """How the GPUs' values of one moment become one."""
    better: Literal["higher", "lower", "neither"] = "lower"


LOADS: dict[str, Load] = {
    "power/gpu_{}_w": Load(r"system/gpu_\d+_power_usage_watts", "W", "power of all GPUs in scope"),
    "load/gpu_{}_percent": Load(
        r"system/gpu_\d+_utilization_percentage", "%", "utilisation summed over the GPUs in scope"
    ),
    "load/cpu_{}_percent": Load(r"system/cpu_utilization_percentage", "%", "utilisation of the machine's processor"),
    "gpu/sm_clock_mhz_{}": Load(
        r"system/gpu_\d+_sm_clock_mhz", "MHz", "SM clock of the slowest GPU in scope", ("mean", "min"), "min", "higher"
    ),
    "gpu/temperature_celsius_{}": Load(
        r"system/gpu_\d+_temperature_celsius", "degC", "temperature of the hottest GPU in scope", ("peak",), "max"
    ),
}
"""Name pattern -> what it aggregates."""

PASS_AT = (5, 10, 25, 50, 100)
"""k of pass@k beyond 1; each needs as many repeats."""

_TOOLBENCH: dict[str, tuple[Better, str]] = {
    "offline": ("higher", "calls known tools with fitting arguments and does not finish yet"),
    "parsed": ("higher", "an action can be read"),
    "known_tools": ("higher", "no tool is invented"),
    "arguments_covered": ("higher", "every required argument is there and no unknown one"),
    "finished": ("neither", "finishes at once"),
    "gave_up": ("lower", "gives up at once"),
}

MT_BENCH_CATEGORIES = (
    "writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities",
)  # fmt: skip
BBH_TASKS = tuple(
    """
    boolean_expressions causal_judgement date_understanding disambiguation_qa dyck_languages formal_fallacies
    geometric_shapes hyperbaton logical_deduction_five_objects logical_deduction_seven_objects
    logical_deduction_three_objects movie_recommendation multistep_arithmetic_two navigate object_counting
    penguins_in_a_table reasoning_about_colored_objects ruin_names salient_translation_error_detection snarks
    sports_understanding temporal_sequences tracking_shuffled_objects_five_objects
    tracking_shuffled_objects_seven_objects tracking_shuffled_objects_three_objects web_of_lies word_sorting
    """.split()  # noqa: SIM905
)
"""The tasks of BIG-Bench Hard; each has its own share of right answers."""

METRICS: dict[str, Metric] = {
    "quality/score": Metric("1", "higher", "headline metric of the dataset; a failed question counts as wrong"),
    "quality/score_ci_low": Metric(
        "1", "neither", "lower end of the 95 % Wilson interval over questions (conversations)"
    ),
    "quality/score_ci_high": Metric(
        "1", "neither", "upper end of the 95 % Wilson interval over questions (conversations)"
    ),
    "quality/score_n": Metric("questions", "neither", "distinct questions in the score and its interval"),
    "quality/exact_match_strict": Metric("1", "higher", "what follows the required answer marker equals the target"),
    "quality/exact_match_flexible": Metric("1", "higher", "last number, or answer in any form, equals the target"),
    "quality/exact_match_macro": Metric("1", "higher", "mean over groups (tasks) of exact_match_strict"),
    **{f"quality/bbh_{task}": Metric("1", "higher", f"exact_match_strict of BBH's {task}") for task in BBH_TASKS},
    "quality/exact_minerva": Metric("1", "higher", "prompted answer equals the target in Minerva's normal form"),
    "quality/math_verify": Metric("1", "higher", "answer in any form equals the target as a value, by math-verify"),
    "quality/prompt_strict": Metric("1", "higher", "prompts whose every instruction the text follows (IFEval)"),
    "quality/prompt_loose": Metric("1", "higher", "the same, first and last line and asterisks forgiven"),
    "quality/instruction_strict": Metric("1", "higher", "instructions followed, all prompts' pooled (IFEval)"),
    "quality/instruction_loose": Metric("1", "higher", "the same, first and last line and asterisks forgiven"),
    "quality/n_instructions": Metric("instructions", "neither", "instructions per prompt, mean"),
    "quality/acc": Metric("1", "higher", "choice with the largest summed log-probability is right"),
    "quality/acc_norm": Metric("1", "higher", "choice with the largest log-probability per character is right"),
    "quality/acc_bytes": Metric("1", "higher", "choice with the largest log-probability per UTF-8 byte is right"),
    "quality/acc_macro": Metric("1", "higher", "mean over groups (subjects) of acc; every group weighs the same"),
    "quality/acc_stem": Metric("1", "higher", "acc over MMLU's STEM subjects, every question weighs the same"),
    "quality/acc_humanities": Metric("1", "higher", "acc over MMLU's humanities, every question weighs the same"),
    "quality/acc_social_sciences": Metric("1", "higher", "acc over MMLU's social sciences, by question"),
    "quality/acc_other": Metric("1", "higher", "acc over MMLU's other subjects (business, health, misc.), by question"),
    "quality/letter_strict": Metric("1", "higher", "generated text ends with the line Answer: X, and X is right"),
    "quality/letter_flexible": Metric(
        "1", "higher", "the same, or the text's last clear statement of a choice is right"
    ),
    "quality/letter_macro": Metric("1", "higher", "mean over groups (subjects) of letter_flexible"),
    "quality/checks_all": Metric("1", "higher", "answers that pass every check of their prompt"),
    "quality/checks_share": Metric("1", "higher", "passed checks / checks, mean over the prompts that have any"),
    **{
        f"quality/checks_{group}": Metric("1", "higher", f"checks_all in the category {group}")
        for group in ("reasoning", "creativity", "knowledge", "instruction")
    },
    "quality/json_valid_strict": Metric("1", "higher", "the whole reply is one JSON value (RFC 8259), reasoning aside"),
    "quality/json_valid": Metric("1", "higher", "the reply, its first fenced block or its first brackets are JSON"),
    "quality/schema_valid": Metric("1", "higher", "that JSON keeps to the question's JSON Schema, formats included"),
    "quality/field_accuracy": Metric("1", "higher", "right leaf values / expected ones, where values are known"),
    **{
        f"quality/json_error_{kind}": Metric("1", "lower", f"share of answers without JSON: {meaning}")
        for kind, meaning in {
            "empty": "nothing but reasoning was written",
            "truncated": "cut at max_new_tokens",
            "no_json": "neither a bracket nor a fence",
            "syntax": "what there is does not parse",
        }.items()
    },
    "quality/bfcl_accuracy": Metric("1", "higher", "calls accepted by BFCL's checker; every question weighs the same"),
    **{
        f"quality/bfcl_{category}": Metric("1", "higher", f"bfcl_accuracy in the category {category}")
        for category in (
            *("simple_python", "simple_java", "simple_javascript"),
            *("multiple", "parallel", "parallel_multiple", "irrelevance"),
            *(f"live_{kind}" for kind in ("simple", "multiple", "parallel", "parallel_multiple", "irrelevance")),
            "live_relevance",
        )
    },
    "quality/bfcl_simple": Metric("1", "higher", "mean of BFCL's simple categories: Python, Java and JavaScript"),
    "quality/bfcl_non_live": Metric(
        "1", "higher", "mean of bfcl_simple and BFCL's three other non-live call categories"
    ),
    "quality/bfcl_non_live_python": Metric("1", "higher", "the same with simple_python in the place of bfcl_simple"),
    "quality/bfcl_live": Metric("1", "higher", "mean over the questions of BFCL's four live call categories"),
    "quality/bfcl_irrelevance_both": Metric("1", "higher", "mean of BFCL's two irrelevance categories"),
    "quality/bfcl_single_turn": Metric(
        "1", "higher", "mean of bfcl_non_live, bfcl_live and bfcl_irrelevance_both; not the leaderboard's overall"
    ),
    "quality/parse_ok": Metric("1", "higher", "where calls are expected: at least one was made and all can be read"),
    "quality/tool_selection": Metric("1", "higher", "the called tools are the expected ones, each as often"),
    "quality/args_valid": Metric("1", "higher", "every call keeps to its tool's schema; unknown arguments do not"),
    "quality/arg_accuracy": Metric("1", "higher", "right arguments / expected and wrong extra ones"),
    "quality/call_f1": Metric("1", "higher", "F1 of calls right in name and arguments, by a maximum matching"),
    "quality/exact_success": Metric("1", "higher", "the calls are the expected ones, one to one, nothing extra"),
    "quality/irrelevance_accuracy": Metric("1", "higher", "where no call is expected: plain text and no call"),
    "quality/tool_calls_mean": Metric("calls", "neither", "calls made per question"),
    **{
        f"quality/toolbench_{name}": Metric("1", better, f"ToolBench, first step, offline (no pass rate): {meaning}")
        for name, (better, meaning) in _TOOLBENCH.items()
    },
    "quality/wattbot_value": Metric(
        "1", "higher", "WattBot's published rule for values; unanswerable ones always pass"
    ),
    "quality/wattbot_ref": Metric("1", "higher", "Jaccard index of the document ids given and expected"),
    "quality/wattbot_na_recall": Metric("1", "higher", "unanswerable questions that were left blank"),
    "quality/wattbot_overall": Metric(
        "1", "higher", "0.75 wattbot_value + 0.15 wattbot_ref + 0.10 wattbot_na_recall (1 without such questions)"
    ),
    "quality/wattbot_weighted": Metric(
        "1", "higher", "mean of WattBot's score of single questions, na_recall 1 where answerable: not wattbot_overall"
    ),
    "quality/wattbot_value_strict": Metric(
        "1", "higher", "value right within 0.1 %, both sides normalised; unanswerable: a blank was given"
    ),
    "quality/wattbot_ref_strict": Metric("1", "higher", "wattbot_ref, 0 for a reply that cannot be read"),
    "quality/wattbot_na_recall_strict": Metric("1", "higher", "unanswerable questions answered with a blank in JSON"),
    "quality/wattbot_overall_strict": Metric(
        "1", "higher", "wattbot_overall of the strict components; absent without an unanswerable question"
    ),
    "quality/wattbot_in_range": Metric(
        "1", "neither", "of questions for a range: a number inside was given, right by wattbot_value, not by the strict"
    ),
    "quality/call_unreadable": Metric("1", "lower", "share of replies that begin a call which cannot be read"),
    "quality/near_tie_rate": Metric(
        "1", "lower", "share of choice questions whose two best log-probabilities are within 0.05: rounding may decide"
    ),
    "quality/boundary_merge_rate": Metric(
        "1", "neither", "share of choice questions where a token spans the end of the context and the continuation"
    ),
    "quality/pass_at_1": Metric("1", "higher", "program read as the benchmark says passes all its tests"),
    "quality/pass_at_1_flexible": Metric("1", "higher", "program passes after stray text around it is cut"),
    **{
        f"quality/pass_at_{k}": Metric("1", "higher", f"one of {k} answers passes (unbiased estimate over the repeats)")
        for k in PASS_AT
    },
    "quality/mt_bench": Metric("points", "higher", "judge's rating from 1 to 10, mean over both turns (MT-Bench)"),
    "quality/mt_bench_parsed": Metric("1", "higher", "share of the judge's replies with one readable rating"),
    **{f"quality/mt_bench_turn{n}": Metric("points", "higher", f"mt_bench of turn {n}") for n in (1, 2)},
    **{f"quality/mt_bench_{c}": Metric("points", "higher", f"mt_bench of {c}") for c in MT_BENCH_CATEGORIES},
    "quality/format_compliance": Metric(
        "1",
        "higher",
        "answers in the form that was asked for, right or wrong; JSON and calls have metrics of their own",
    ),
    "quality/similarity_mean": Metric(
        "1", "higher", "cosine of the embeddings of answer and reference text, -1 to 1; failed and empty ones left out"
    ),
    "quality/similarity_n": Metric("answers", "neither", "answers whose similarity to a reference text is known"),
    "quality/similarity_truncated_rate": Metric(
        "1", "lower", "share of those where the embedder did not read all of answer and reference"
    ),
    "quality/n": Metric(
        "questions", "neither", "planned questions (or turns) x repeats: the denominator of every rate"
    ),
    "quality/error_rate": Metric("1", "lower", "share of questions the engine could not answer"),
    "quality/truncated_rate": Metric("1", "lower", "share of written answers cut at max_new_tokens"),
    "quality/grammar_complete_rate": Metric(
        "1",
        "higher",
        "constrained decoding: share of answers that ended as a whole value; others were cut or failed",
    ),
    "quality/truncated_thinking_rate": Metric(
        "1", "lower", "share of answers cut at max_new_tokens inside their reasoning: nothing is left to score"
    ),
    "quality/extraction_failure_rate": Metric("1", "lower", "share of answers without an extractable answer"),
    "quality/empty_rate": Metric("1", "lower", "share of written answers with no text at all"),
    **{
        f"latency/{name}_{suffix}": Metric("s", "lower", f"{suffix} of {meaning}")
        for name, meaning in _LATENCIES.items()
        for suffix, _, _ in PERCENTILES
    },
    **{
        f"latency/{name}_{suffix}_ci_{end}": Metric(
            "s", "neither", f"{words} end of the 95 % order-statistic interval of {suffix} of the {name} above"
        )
        for name in INTERVAL_LATENCIES
        for suffix, _, _ in PERCENTILES
        for end, words in (("low", "lower"), ("high", "upper"))
    },
    "latency/tpot_s_mean": Metric(
        "s", "lower", "mean over probe requests of (last - first token) / (tokens - 1); one-token answers have none"
    ),
    "latency/decode_tokens_per_s": Metric(
        "tokens/s", "higher", "1 / tpot_s_mean: decode speed of the mean request at batch 1 (latency probe), not pooled"
    ),
    "latency/request_tokens_per_s": Metric("tokens/s", "higher", "mean over probe requests of output tokens / e2e"),
    "latency/prefill_tokens_per_s": Metric("tokens/s", "higher", "mean over probe requests of prompt tokens / ttft"),
    "latency/probe_n": Metric("questions", "neither", "questions of the latency probe that have a latency"),
    "latency/probe_failed_n": Metric("questions", "lower", "questions of the latency probe that failed: no latency"),
    "throughput/output_tokens_per_s": Metric("tokens/s", "higher", "all output tokens / generate window wall time"),
    "throughput/prompt_tokens_per_s": Metric("tokens/s", "higher", "all prompt tokens / generate window wall time"),
    "throughput/questions_per_s": Metric("questions/s", "higher", "questions / generate window wall time"),
    "throughput/output_tokens_per_s_per_gib": Metric(
        "tokens/s/GiB", "higher", "output tokens/s / peak VRAM, on CPU / peak RSS, of the generate window"
    ),
    "throughput/rows_mean": Metric(
        "rows", "neither", "rows in flight on average: sum of the answers' times / generate window wall (Little's law)"
    ),
    "throughput/batch_efficiency": Metric(
        "1", "higher", "throughput / (batch rows x batch-1 decode speed): 1 = perfect scaling with the batch"
    ),
    "tokens/input": Metric("tokens", "neither", "prompt tokens of the generate phase, no padding"),
    "tokens/output": Metric("tokens", "neither", "output tokens of the generate phase, end token counted once"),
    "tokens/computed": Metric("tokens", "neither", "token positions really computed, padding excluded"),
    "tokens/output_mean": Metric("tokens", "neither", "output tokens per answered question"),
    "answers/chars_mean": Metric("characters", "neither", "length of the answers as text"),
    "answers/thinking_chars_mean": Metric(
        "characters", "neither", "reasoning blocks per answer, marks included; part of chars_mean, never scored"
    ),
    "answers/thinking_tokens_mean": Metric(
        "tokens", "neither", "output tokens that hold reasoning or its marks, mean over the answers; absent if unknown"
    ),
    "answers/thinking_token_share": Metric(
        "1", "neither", "output tokens that hold reasoning or its marks / all output tokens (part of tokens/output)"
    ),
    "answers/words_mean": Metric("words", "neither", "blank-separated words per answer"),
    "memory/vram_peak_gib": Metric(
        "GiB", "lower", "peak device memory in the generate window, all devices used (NVML)"
    ),
    "memory/vram_process_peak_gib": Metric(
        "GiB", "lower", "peak device memory of this process tree in the generate window (NVML's process list)"
    ),
    "memory/vram_added_gib": Metric(
        "GiB", "lower", "peak device memory of the generate window minus what was in use on the GPUs before loading"
    ),
    "memory/vram_occupancy_percent": Metric(
        "%", "neither", "vram_peak / the memory of all devices used; says how full they were, not how well used"
    ),
    "memory/vram_allocated_peak_gib": Metric(
        "GiB", "lower", "peak of tensors in the generate window (torch allocator)"
    ),
    "memory/vram_reserved_peak_gib": Metric("GiB", "lower", "peak reserved by torch's allocator, generate window"),
    "memory/rss_peak_gib": Metric(
        "GiB", "lower", "peak resident memory of the process tree (Python and libraries included)"
    ),
    "memory/rss_added_gib": Metric(
        "GiB", "lower", "peak resident memory of the generate window minus what the process held before loading"
    ),
    "memory/weights_gib": Metric("GiB", "lower", "bytes of the loaded parameters and buffers"),
    "memory/vram_predicted_gib": Metric(
        "GiB", "neither", "vram_peak predicted before loading: weights, KV cache, activations and CUDA context"
    ),
    "memory/rss_predicted_gib": Metric(
        "GiB", "neither", "rss_peak predicted before loading: the process, weights, KV cache and activations"
    ),
    "memory/prediction_error_percent": Metric(
        "%", "neither", "(predicted - measured peak) / measured peak x 100; an upper bound, so above 0 as a rule"
    ),
    "memory/kept_gib": Metric(
        "GiB", "neither", "what loading had added for a model kept from an earlier job of the process"
    ),
    "memory/left_over_gib": Metric(
        "GiB", "lower", "memory that did not come back from an earlier job's model, freed before this one loaded"
    ),
    "energy/measured_wh": Metric("Wh", "lower", "generate window, counters and integrated power sensors only"),
    "energy/modelled_wh": Metric("Wh", "lower", "whole job, codecarbon's load and RAM models only"),
    "energy/job_wh": Metric("Wh", "lower", "measured energy from opening to closing of the meters, load and all"),
    "energy/above_idle_wh": Metric(
        "Wh", "lower", "measured energy of the generate window minus idle power x its length; the gross is the headline"
    ),
    "energy/codecarbon_difference_percent": Metric(
        "%", "neither", "(codecarbon's mean power / ours - 1) x 100 over the job, of the parts that both measured"
    ),
    "energy/gpu_wh": Metric("Wh", "lower", "GPU part of the measured energy, generate window"),
    "energy/gpu_integrated_wh": Metric(
        "Wh", "lower", "integrated power of the GPUs, where energy/gpu_wh is their counter's: a cross-check, not a part"
    ),
    "energy/gpu_difference_percent": Metric(
        "%", "neither", "(integrated power - counter) / counter x 100, generate window"
    ),
    "energy/gpu_error_bound_wh": Metric(
        "Wh", "lower", "largest error of energy/gpu_wh that update period and sensor tolerance (5 %) explain"
    ),
    "energy/cpu_wh": Metric("Wh", "lower", "CPU part of the measured energy (RAPL), generate window"),
    "energy/dram_wh": Metric("Wh", "lower", "DRAM part of the measured energy (RAPL), generate window"),
    "energy/codecarbon_wh": Metric(
        "Wh", "lower", "codecarbon's total for the whole job; modelled unless tagged otherwise"
    ),
    "energy/j_per_output_token": Metric("J/token", "lower", "measured energy of the generate window / output tokens"),
    "energy/j_per_correct": Metric("J", "lower", "measured energy of the generate window / correct answers"),
    "energy/j_per_question": Metric("J", "lower", "measured energy of the generate window / questions"),
    "energy/wh_per_question": Metric("Wh", "lower", "measured energy of the generate window / questions"),
    "energy/score_per_wh": Metric("1/Wh", "higher", "score / measured energy of the generate window"),
    **{
        name.format(kind): Metric(load.unit, load.better, f"{kind} of sampled {load.meaning}")
        for name, load in LOADS.items()
        for kind in load.kinds
    },
    "power/gpu_idle_w": Metric("W", "lower", "all GPUs in scope, before the model loaded"),
    "power/cpu_idle_w": Metric("W", "lower", "processor (RAPL), before the model loaded"),
    "carbon/co2e_g": Metric("g", "lower", "codecarbon's energy of the whole job x PUE x configured carbon intensity"),
    "carbon/measured_co2e_g": Metric("g", "lower", "measured energy of the whole job x PUE x configured intensity"),
    "cost/usd": Metric("USD", "lower", "whole job: rent and energy, of which at least one is configured"),
    "cost/rental_usd": Metric("USD", "lower", "job hours x configured hourly rate"),
    "cost/energy_usd": Metric("USD", "lower", "energy of the whole job (codecarbon's) x PUE x configured tariff"),
    "cost/usd_per_1m_output_tokens": Metric("USD", "lower", "cost / output tokens x 1e6"),
    "cost/usd_per_1k_correct": Metric("USD", "lower", "cost / correct answers x 1000"),
    "time/idle_s": Metric("s", "neither", "idle machine measured before loading, when asked, wall"),
    "time/load_s": Metric("s", "lower", "tokenizer and weights, wall"),
    "time/warmup_s": Metric("s", "lower", "one short generation before measuring, wall"),
    "time/generate_s": Metric("s", "lower", "throughput phase, wall"),
    "time/probe_s": Metric("s", "lower", "latency probe, wall"),
    "time/score_s": Metric("s", "lower", "scoring all responses, wall"),
    "time/total_s": Metric("s", "lower", "start of the meters to end of scoring, wall; imports and logging excluded"),
    "running/score": Metric("1", "higher", "mean score of the questions finished so far, by question count"),
    "running/energy_wh": Metric("Wh", "lower", "measured energy since the generate window opened"),
}

POOLED = {"instruction_strict": "n_instructions", "instruction_loose": "n_instructions"}
"""Shares of a question's parts -> the metric that counts the parts: the mean is over all parts, not over questions."""


def unknown_metrics(names: set[str]) -> set[str]:
    """Names that have no row in METRICS."""
    return names - METRICS.keys()
