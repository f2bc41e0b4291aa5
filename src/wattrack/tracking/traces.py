"""Traces of single questions: what makes the UI's comparison of two runs pair their answers.

Written after the job has been measured, in one batch, straight to the store: MLflow's tracing pipeline
exports in the background by default and drops traces when it falls behind.
"""

import json
import math
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wattrack.schema import Record
from wattrack.tracking.tables import cut

if TYPE_CHECKING:
    from mlflow.entities import Assessment, Span, TraceInfo

FIRST, WRONG = "first", "wrong"
"""Values of the tag wattrack.traced: why a question was chosen."""
_PREVIEW_CHARS = 1000


def selected(records: Sequence[Record], setting: str | int) -> list[tuple[Record, str]]:
    """The records to trace and why: all of them, or the first n, then up to n wrong ones among the rest.

    The first ones are the same questions in every run on a dataset, so two runs can be compared on them.

    Args:
        records: in question order.
        setting: `all`, `none` or n.
    """
    if setting == "all":
        return [(record, FIRST) for record in records]
    n = 0 if setting == "none" else int(setting)
    wrong = [record for record in records[n:] if record.score < 1.0][:n]
    return [(record, FIRST) for record in records[:n]] + [(record, WRONG) for record in wrong]


def write_traces(uri: str, experiment_id: str, run_id: str, model: str, chosen: Sequence[tuple[Record, str]]) -> None:
    """Write one trace per record, with its times, tokens, grade and expected answer, linked to the run.

    Raises:
        MlflowException: the store refused one; those before it are written.
    """
    from mlflow.tracing.client import TracingClient

    client = TracingClient(uri)
    spans = []
    for record, why in chosen:
        trace_id = f"tr-{secrets.token_hex(16)}"
        info = _info(trace_id, experiment_id, run_id, record)
        info.tags = {"mlflow.traceName": model, "wattrack.question_id": record.id, "wattrack.traced": why}
        client.start_trace(info)
        spans.append(_span(trace_id, experiment_id, model, record))
    client.log_spans(experiment_id, spans)


def _inputs(record: Record) -> dict[str, object]:
    """Equal for every model that was asked this question."""
    inputs: dict[str, object] = {"question": record.question, "id": record.id}
    return inputs if record.repeat == 0 else {**inputs, "repeat": record.repeat}


def _preview(record: Record) -> str:
    repeat = f"[repeat {record.repeat}] " if record.repeat else ""
    return (repeat + record.question)[:_PREVIEW_CHARS]


def _outputs(record: Record) -> str:
    return record.output if record.error is None else f"[error] {record.error}"


def _tokens(record: Record) -> dict[str, int]:
    return {
        "input_tokens": record.input_tokens or 0,
        "output_tokens": record.output_tokens or 0,
        "total_tokens": (record.input_tokens or 0) + (record.output_tokens or 0),
    }


def _info(trace_id: str, experiment_id: str, run_id: str, record: Record) -> "TraceInfo":
    from mlflow.entities import TraceInfo, TraceLocation, TraceState

    return TraceInfo(
        trace_id=trace_id,
        trace_location=TraceLocation.from_experiment_id(experiment_id),
        request_time=record.started_unix_ms,
        execution_duration=round(1000 * (record.latency_s or 0.0)),
        state=TraceState.OK if record.error is None else TraceState.ERROR,
        request_preview=_preview(record),  # the UI pairs two runs' traces by this text
        response_preview=_outputs(record)[:_PREVIEW_CHARS],
        trace_metadata={
            "mlflow.sourceRun": run_id,
            "mlflow.traceInputs": json.dumps(_inputs(record), ensure_ascii=False),
            "mlflow.traceOutputs": json.dumps(_outputs(record), ensure_ascii=False),
            "mlflow.trace.tokenUsage": json.dumps(_tokens(record)),
            "mlflow.trace_schema.version": "3",
        },
        assessments=_assessments(trace_id, run_id, record),
    )


def _assessments(trace_id: str, run_id: str, record: Record) -> "list[Assessment]":
    from mlflow.entities import AssessmentSource, Expectation, Feedback

    source = AssessmentSource(source_type="CODE", source_id="wattrack")
    common: dict[str, Any] = {"trace_id": trace_id, "source": source}
    why = cut(record.explanation) or None
    of_run = {"mlflow.assessment.sourceRunId": run_id}
    expected = Expectation(name="expected_response", value=record.target, metadata=of_run, **common)
    if math.isnan(record.score):
        return [expected]
    return [
        Feedback(name="correct", value=record.score >= 1.0, rationale=why, metadata=of_run, **common),
        Feedback(name="score", value=record.score, metadata=of_run, **common),
        expected,
    ]


def _span(trace_id: str, experiment_id: str, model: str, record: Record) -> "Span":
    from mlflow.entities import Span

    start_ns = record.started_unix_ms * 1_000_000
    attributes: dict[str, object] = {
        "mlflow.traceRequestId": trace_id,
        "mlflow.experimentId": experiment_id,
        "mlflow.spanType": "LLM",
        "mlflow.spanInputs": _inputs(record),
        "mlflow.spanOutputs": _outputs(record),
        "mlflow.chat.tokenUsage": _tokens(record),
        "mlflow.llm.model": model,
        "prompt": record.prompt_text,
        "answer": record.answer,
        "finish_reason": record.finish_reason,
        "batch_size": record.batch_size,
        "ttft_s": record.ttft_s,
        "logprobs": record.logprobs,
        "margin": record.margin,
        "thinking_tokens": record.thinking_tokens,
    }
    return Span.from_dict(
        {
            "trace_id": trace_id,
            "span_id": secrets.token_hex(8),
            "parent_span_id": None,
            "name": model,
            "start_time_unix_nano": start_ns,
            "end_time_unix_nano": start_ns + round(1e9 * (record.latency_s or 0.0)),
            "status": {
                "code": "STATUS_CODE_OK" if record.error is None else "STATUS_CODE_ERROR",
                "message": record.error or "",
            },
            "attributes": {k: json.dumps(v, ensure_ascii=False) for k, v in attributes.items() if v is not None},
            "events": [],
        }
    )
