"""Names that several test files use."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from wattrack.answering import Timing, Usage
from wattrack.schema import Response

CHECKOUT = Path(__file__).parents[1]

Compose = Callable[..., DictConfig]
Command = Callable[..., subprocess.CompletedProcess[str]]


def flat_response(**values: Any) -> Response:
    """A Response from one level of values, with the kind of an error unless it is named."""
    usage = {"input_tokens": "input_tokens", "output_tokens": "output_tokens", "thinking_tokens": "reasoning_tokens"}
    timing = {"token_times_s": "stamps_s", "latency_s": "done_s", "started_unix_ms": "sent_unix_ms"}
    used = {usage[name]: values.pop(name) for name in list(values) if name in usage}
    timed = {timing[name]: values.pop(name) for name in list(values) if name in timing}
    if values.get("error") is not None:
        values.setdefault("error_kind", "broken")
    return Response(**values, usage=Usage(**used), timing=Timing(**timed))
