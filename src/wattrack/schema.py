"""The values that flow through a job: Sample -> Request -> Response -> Score -> Record, and what the meters saw.

Every class is frozen. `None` means "not measured" or "does not apply"; `0.0` means "measured zero".
All times inside a job are seconds on `time.perf_counter`; wall-clock stamps are Unix milliseconds and say so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from wattrack.answering import ErrorKind, Timing, Usage

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "error"]
EnergySource = Literal["measured", "sampled", "modelled", "unavailable"]
EnergyFlag = Literal["below_tick", "short_window", "methods_disagree", "throttled", "contended", "parent_gpu"]


_UNKNOWN, _UNTIMED = Usage(), Timing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One chat turn."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One question with what counts as its answer."""

    id: str
    """Stable across limits, seeds and machines: the position in the source file, or the source's own id."""
    question: str
    """The question as a person reads it, without shots or template; shown in tables."""
    target: str
    """The reference answer in the form the scorer expects, or in words what is expected."""
    target_is_answer: bool = True
    """False: `target` is for people, and the scorer would not accept it as a reply."""
    group: str | None = None
    """Subject or stratum, where the dataset has them."""
    choices: tuple[str, ...] = ()
    """The texts to choose from, in the row's order; empty for open questions."""
    labels: tuple[str, ...] = ()
    """The name of each choice ("A", "1"); `target` is one of them."""
    data: Mapping[str, object] = field(default_factory=dict, hash=False)
    """What the scorer or the prompt needs beyond the above (tests, argument values, functions): JSON values only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """Sampling settings of a request."""

    max_new_tokens: int
    temperature: float = 0.0
    """0.0 means greedy."""
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    """Strings that end the answer; never matched inside the prompt and not part of `Response.text`."""
    fixed_length: bool = False
    """Exactly `max_new_tokens` are generated: an end token does not end the answer, and reaching the length is no cut.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Exactly what the model is asked, once."""

    sample_id: str
    repeat: int
    prompt: str | tuple[Message, ...]
    """Raw text (completion) or chat turns (the engine applies the model's own template)."""
    generation: Generation
    seed: int
    """Random seed of this request, a pure function of (job seed, sample id, repeat); unused when greedy."""
    tools: tuple[Mapping[str, object], ...] = field(default=(), hash=False)
    """Functions the model may call, as chat templates take them: {"type": "function", "function": {name, ...}}."""
    after: tuple[str, ...] = ()
    """Later turns of a conversation: the samples whose answers (same repeat) fill the prompt's assistant turns, in
    order. Until they are there those turns are empty."""
    prompt_tokens: int | None = None
    """Raw text only: the engine, which has the tokenizer, repeats or cuts the prompt to exactly this many tokens,
    special ones at the beginning included; None = the prompt as it is."""
    constraint: Mapping[str, object] | None = field(default=None, hash=False)
    """A JSON Schema (Draft 2020-12): the engine admits only tokens that can lead to a value which keeps to it, and an
    end only where there is one. Not with stop strings or `fixed_length`. None = free decoding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One continuation after one context; the model is asked how probable it is."""

    context: str
    """Raw text without a blank at its end: blanks before a continuation belong to the continuation."""
    continuation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceRequest:
    """One question answered by comparing log-probabilities; nothing is generated."""

    sample_id: str
    repeat: int
    candidates: tuple[Candidate, ...]
    """In the order of `Sample.choices`; contexts may be equal (most tasks) or differ (partial evaluation)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What came back for one request; a failed item is a Response with `error`, never a missing one."""

    sample_id: str
    repeat: int
    text: str
    """Generated text, cut at the first stop string, special tokens removed unless they mark reasoning. For choices: the
    most probable candidate's continuation, blanks stripped."""
    finish_reason: FinishReason
    usage: Usage = _UNKNOWN
    timing: Timing = _UNTIMED
    """Of an answer that was copied from an equal request: empty, for it took no time of its own."""
    batch_size: int = 1
    """Rows that shared the forward passes."""
    error: str | None = None
    """One line: what failed. `text` is then empty and the question counts as wrong."""
    error_kind: ErrorKind | None = None
    """Of the error, for programs; None where there is none."""
    prompt_text: str = ""
    """The rendered prompt, verbatim as tokenised (special tokens shown); empty when it was never rendered."""
    logprobs: tuple[float, ...] = ()
    """Choices only: the natural log-probability of each continuation given its context, summed over its tokens;
    softmax in fp32."""
    merged_boundaries: int = 0
    """Choices only: candidates whose last context token merges with the continuation when the whole text is tokenised;
    there the continuation begins with the merged token."""

    def __post_init__(self) -> None:
        if (self.error is None) != (self.error_kind is None):
            raise ValueError(f"an error and its kind come together, not {self.error!r} with {self.error_kind!r}")

    @property
    def token_stamps_s(self) -> tuple[float, ...]:
        """Arrival of each output token after the request was sent; empty unless every token was seen arriving."""
        timing = self.timing
        if timing.stamps_of != "tokens" or len(timing.stamps_s) != self.usage.output_tokens:
            return ()
        return timing.stamps_s

    @property
    def ttft_s(self) -> float | None:
        """Seconds from sending to the first part of the answer; None when no part was seen arriving."""
        return self.timing.stamps_s[0] if self.timing.stamps_s else None

    @property
    def end_s(self) -> float | None:
        """Seconds from sending to the last part of the answer or, where no part was seen, to its end."""
        return self.timing.stamps_s[-1] if self.timing.stamps_s else self.timing.done_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The grade of one response."""

    value: float
    """The dataset's headline metric, 0..1. NaN: the question is judged by other metrics only and stays out of the mean.
    """
    answer: str | None
    """What was extracted from the text; None = nothing could be extracted."""
    explanation: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Every metric of the task by bare name, e.g. {"exact_match_strict": 1.0}; the mean is logged as quality/<name>."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One question x one repeat: the same row on disk, in the MLflow table and in analysis."""

    id: str
    repeat: int
    question: str
    """With a line for each choice, where there are choices."""
    output: str
    """The response's text; of choices, the text of the chosen one."""
    target: str
    answer: str | None
    score: float
    """As in `Score.value`."""
    metrics: Mapping[str, float]
    explanation: str
    group: str | None
    finish_reason: FinishReason
    error: str | None
    input_tokens: int | None
    output_tokens: int | None
    latency_s: float | None
    """End-to-end inside its batch (throughput phase)."""
    ttft_s: float | None
    """First token inside its batch (throughput phase)."""
    batch_size: int
    prompt_text: str
    started_unix_ms: int
    logprobs: tuple[float, ...] | None = None
    """Choices only: as in the response, in the order of the sample's choices."""
    margin: float | None = None
    """Choices only: the largest minus the second largest of `logprobs`; kernels in bf16 move either by some 0.03."""
    merged_boundaries: int | None = None
    """Choices only: as in the response."""
    thinking_tokens: int | None = None
    """`Usage.reasoning_tokens`; None = not told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """Energy of one part of the machine over one window."""

    joules: float | None
    """None when the source is `unavailable`."""
    source: EnergySource
    """measured = hardware counter; sampled = power integrated; modelled = from a load or TDP model."""
    detail: str = ""
    """How it was obtained, or why it is unavailable; one line for people."""
    bound_j: float | None = None
    """Largest error of `joules` that the method's own resolution and sensor explain; None = not stated."""
    cross_check_j: float | None = None
    """The same window by the other method: integrated power, where `joules` is a counter's."""
    flags: tuple[EnergyFlag, ...] = ()
    """What to know before comparing it with another window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A named, closed stretch of the job with what the meters read over it."""

    name: str
    start_s: float
    """perf_counter at the opening edge (after device synchronisation)."""
    end_s: float
    start_unix_ms: int
    energy: Mapping[str, Energy]
    """By part: "gpu", "cpu", "dram"; a part that cannot be read is present with source `unavailable`."""
    peaks: Mapping[str, float]
    """Highest value in the window by metric name, e.g. "memory/rss_peak_gib"; other names only show in tables."""
    failed: bool = False
    """True when the body raised; the numbers then cover the part that ran."""
    earlier_s: float = 0.0
    """Seconds that interrupted processes spent in it before this one; `energy` and `peaks` cover them too."""

    @property
    def duration_s(self) -> float:
        """Measured length in seconds, over every process that worked on it."""
        return self.end_s - self.start_s + self.earlier_s


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemSample:
    """One reading of the sampler: every instantaneous value at one moment."""

    time_s: float
    """perf_counter."""
    unix_ms: int
    values: Mapping[str, float]
    """By MLflow system-metric name, e.g. "system/gpu_0_power_usage_watts"; unreadable values are left out.

    In a long job, of which not every sample is kept, the latest since the sample before.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class CarbonReading:
    """codecarbon's own figures for the whole job, kept beside ours as a cross-check."""

    energy_wh: float
    cpu_wh: float
    ram_wh: float
    gpu_wh: float | None
    """None when no GPU was in scope."""
    duration_s: float
    cpu_source: EnergySource
    """`measured` with RAPL, else `modelled`."""
    gpu_source: EnergySource
    detail: str
    """e.g. "CPU load model, TDP 65 W; RAM model 10 W"."""
    flags: tuple[EnergyFlag, ...] = ()
    """What to know before comparing it with another job's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """Everything the meters saw in one job."""

    windows: tuple[Window, ...]
    samples: tuple[SystemSample, ...]
    carbon: CarbonReading | None
    unavailable: Mapping[str, str]
    """Meter name -> why it gave nothing, e.g. {"nvml": "driver library not found", "rapl": "..."}."""
    job: Window | None = None
    """From the opening of the meters to their closing: every phase and what lies between them."""

    def window(self, name: str) -> Window | None:
        """The window called `name`, or None when it was never opened."""
        return next((w for w in self.windows if w.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFacts:
    """Which rows a job used."""

    name: str
    protocol: str
    """Name and version of prompt and scorer, e.g. "gsm8k/base@2"."""
    source: str
    """Hub id or the local file's path as given."""
    config: str | None
    split: str
    revision: str | None
    """Resolved commit hash of the hub, or None for local and embedded rows."""
    digest: str
    """SHA-256 over the canonical JSON of the rows used, in order, hex."""
    rows: int
    """Questions planned, before repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStart:
    """What is known of a job before it runs; enough to open its MLflow run."""

    name: str
    """Run name, e.g. "demo_s · arithmetic"."""
    kind: Literal["job", "sweep"]
    params: Mapping[str, object]
    """Resolved settings by slash-separated name; `model`, `dataset`, `preset`, `hardware` are the group choices."""
    tags: Mapping[str, str]
    config_yaml: str
    """The whole resolved configuration, logged as an artifact."""
    output_dir: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """Everything one finished job hands to tracking."""

    metrics: Mapping[str, float | None]
    """Every key is in METRICS; None = not measured and is not logged."""
    params: Mapping[str, object]
    """Facts learnt while running (effective settings, resolved revisions, timings that are not metrics)."""
    tags: Mapping[str, str]
    records: tuple[Record, ...]
    """In question order."""
    probe: tuple[Response, ...]
    readings: Readings
    dataset: DatasetFacts
    description: str
    """Markdown for people: headline numbers, what is unavailable and why. Under 8000 characters."""
    running: tuple[tuple[str, int, int, float], ...]
    """Points of the running series: (metric name, step, unix_ms, value)."""
