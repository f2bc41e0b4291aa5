"""Answers to records: every response through its scorer, off the clock."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from wattrack.answering import Usage
from wattrack.job.loop import Windows
from wattrack.prompts.text import options_text
from wattrack.protocols import Scorer
from wattrack.schema import Record, Response, Sample, Score
from wattrack.scorers.choice import margin


def score_all(
    samples: Sequence[Sample], responses: Sequence[Response], scorer: Scorer, meter: Windows, workers: int = 1
) -> tuple[Record, ...]:
    """`records` in the window `score`."""
    with meter.window("score"):
        return records(samples, responses, scorer, workers)


def records(
    samples: Sequence[Sample], responses: Sequence[Response], scorer: Scorer, workers: int = 1
) -> tuple[Record, ...]:
    """One record per response, in the order given; `workers` threads for scorers that wait."""
    by_id = {sample.id: sample for sample in samples}
    if workers == 1:
        return tuple(record(by_id[r.sample_id], r, scorer) for r in responses)
    with ThreadPoolExecutor(workers) as pool:
        return tuple(pool.map(lambda r: record(by_id[r.sample_id], r, scorer), responses))


_REFERENCES = 20
"""Reference answers put to their own scorer: enough to see that a scorer and its rows do not belong together."""


def references(samples: Sequence[Sample], scorer: Scorer) -> tuple[int, int]:
    """(reference answers of which no metric is 1, how many were tried); samples without a reference are left out."""
    tried = [s for s in samples if s.target and s.target_is_answer][:_REFERENCES]
    verdicts = [scorer(sample, _reference(sample)) for sample in tried]
    # A form says nothing of what is right.
    best = [max([v.value, *(m for name, m in v.metrics.items() if name != "format_compliance")]) for v in verdicts]
    return sum(value < 1.0 for value in best), len(tried)


def _reference(sample: Sample) -> Response:
    """What a model that answers with the reference would give."""
    logprobs = tuple(-1.0 if label == sample.target else -1e6 for label in sample.labels)
    return Response(
        sample_id=sample.id,
        repeat=0,
        text=sample.target,
        finish_reason="stop",
        usage=Usage(input_tokens=1, output_tokens=0 if logprobs else 1),
        logprobs=logprobs,
    )


def record(sample: Sample, response: Response, scorer: Scorer) -> Record:
    """The row that is written to disk, shown in MLflow and analysed."""
    score = scorer(sample, response)
    return Record(
        id=sample.id,
        repeat=response.repeat,
        question=f"{sample.question}\n{options_text(sample)}" if sample.choices else sample.question,
        output=_output(sample, response, score),
        target=sample.target,
        answer=score.answer,
        score=score.value,
        metrics=score.metrics,
        explanation=score.explanation,
        group=sample.group,
        finish_reason=response.finish_reason,
        error=response.error,
        input_tokens=response.usage.input_tokens,
        output_tokens=response.usage.output_tokens,
        latency_s=response.timing.done_s,
        ttft_s=response.ttft_s,
        batch_size=response.batch_size,
        prompt_text=response.prompt_text,
        started_unix_ms=response.timing.sent_unix_ms,
        logprobs=response.logprobs or None,
        margin=margin(response.logprobs),
        merged_boundaries=response.merged_boundaries if response.logprobs else None,
        thinking_tokens=response.usage.reasoning_tokens,
    )


def _output(sample: Sample, response: Response, score: Score) -> str:
    """What the model said; of choices, the text of the one that counts (by acc_norm not always the most probable)."""
    if response.logprobs and score.answer in sample.labels:
        return sample.choices[sample.labels.index(score.answer)]
    return response.text
