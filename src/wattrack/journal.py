"""responses.jsonl: every response of a job, on disk as soon as it exists, one JSON object per line.

Lines are ASCII (other characters escaped), so that no reader takes a Unicode line separator in an answer
for the end of a line, and lone surrogates survive.
"""

import json
import logging
import math
import types
from collections.abc import Iterable
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any, Self, get_args

import orjson

from wattrack.answering import ErrorKind, Timing, Usage
from wattrack.errors import DatasetError
from wattrack.schema import FinishReason, Response

log = logging.getLogger(__name__)

_NUMBER = (int, float, type(None))
_COUNT = (int, type(None))
_TYPES: dict[str, tuple[type, ...]] = {
    "sample_id": (str,),
    "repeat": (int,),
    "text": (str,),
    "finish_reason": (str,),
    "usage": (dict,),
    "timing": (dict,),
    "batch_size": (int,),
    "error": (str, type(None)),
    "error_kind": (str, type(None)),
    "prompt_text": (str,),
    "logprobs": (list,),
    "merged_boundaries": (int,),
}
_USAGE: dict[str, tuple[type, ...]] = {
    "input_tokens": _COUNT,
    "output_tokens": _COUNT,
    "cached_tokens": _COUNT,
    "reasoning_tokens": _COUNT,
    "source": (str,),
    "cost_usd": _NUMBER,
}
_TIMING: dict[str, tuple[type, ...]] = {
    "intended_s": _NUMBER,
    "stamps_s": (list,),
    "stamps_of": (str,),
    "done_s": _NUMBER,
    "sent_unix_ms": (int,),
}
_FLAT = {
    "input_tokens": ("usage", "input_tokens"),
    "output_tokens": ("usage", "output_tokens"),
    "thinking_tokens": ("usage", "reasoning_tokens"),
    "token_times_s": ("timing", "stamps_s"),
    "latency_s": ("timing", "done_s"),
    "started_unix_ms": ("timing", "sent_unix_ms"),
}
"""Where the fields are now that stood beside the text in lines of format 0."""
_WORDS = {
    "finish_reason": get_args(FinishReason),
    "error_kind": (*get_args(ErrorKind), None),
    "source": ("tokenizer", "server", "estimated"),
    "stamps_of": ("tokens", "chunks"),
}
_ENCODER = json.JSONEncoder(separators=(",", ":"))
_REQUIRED = frozenset(field.name for field in fields(Response) if field.default is MISSING)


def response_to_json(response: Response) -> str:
    """One line of the journal, without its newline.

    It is called inside the measured window, where orjson takes a sixth of the time; what orjson leaves unescaped,
    refuses (lone surrogates) or writes as null (infinities) is left to the standard library.
    """
    try:
        if all(map(math.isfinite, response.logprobs)):
            return orjson.dumps(response).decode("ascii")
    except (TypeError, UnicodeDecodeError):
        pass
    return _ENCODER.encode(asdict(response))


def response_from_json(line: str) -> Response:
    """The response that `response_to_json` wrote; fields with defaults may be absent.

    Raises:
        DatasetError: not JSON, or not a response; says what is wrong.
    """
    try:
        values = json.loads(line)
    except ValueError as e:
        raise DatasetError(f"not JSON: {e}") from e
    if not isinstance(values, dict):
        raise DatasetError(f"expected a JSON object, got {type(values).__name__}")
    if _FLAT.keys() & values.keys():
        values = _nested(values)
    if missing := _REQUIRED - values.keys():
        raise DatasetError(f"missing {', '.join(sorted(missing))}")
    _check(values, _TYPES)
    try:
        usage = Usage(**_check(values.pop("usage", {}), _USAGE))
        timing = Timing(**_check(values.pop("timing", {}), _TIMING))
        return Response(**values, usage=usage, timing=timing)
    except ValueError as e:
        raise DatasetError(str(e)) from e


def _nested(values: dict[str, Any]) -> dict[str, Any]:
    """A line of format 0 as it would be written now; its errors had no kind."""
    found: dict[str, Any] = {"usage": {}, "timing": {}}
    for name, value in values.items():
        if name in _FLAT:
            group, field = _FLAT[name]
            found[group][field] = value
        else:
            found[name] = value
    return found if found.get("error") is None else {**found, "error_kind": "broken"}


def _check(values: dict[str, Any], types: dict[str, tuple[type, ...]]) -> dict[str, Any]:
    """The values, lists as tuples; DatasetError names one that is unknown or has another type."""
    for name, value in values.items():
        if name not in types:
            raise DatasetError(f"unknown field {name}")
        if not isinstance(value, types[name]) or isinstance(value, bool):
            raise DatasetError(f"{name} cannot be {value!r:.40}")
        if name in _WORDS and value not in _WORDS[name]:
            raise DatasetError(f"{name} cannot be {value!r:.40}")
        if isinstance(value, list):
            if not all(isinstance(number, int | float) for number in value):
                raise DatasetError(f"{name} must hold numbers")
            values[name] = tuple(value)
    return values


def read_journal(path: str | Path) -> list[Response]:
    """All responses in the order they were written; a last line cut by a crash is dropped with a warning.

    Raises:
        DatasetError: the file cannot be read, or a complete line is damaged; names file and line.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as e:
        raise DatasetError(f"{path}: cannot be read ({e.strerror})") from e
    *lines, rest = data.split(b"\n")
    if rest:
        log.warning("%s: dropping its last line, which was cut off while being written", path)
    responses = []
    for number, line in enumerate(lines, start=1):
        try:
            responses.append(response_from_json(line.decode("utf-8")))
        except (DatasetError, UnicodeDecodeError) as e:
            raise DatasetError(f"{path}:{number}: {e}") from e
    return responses


class Journal:
    """Writer. A line is with the operating system when `append` returns: it survives the process.

    It is not fsynced, so a power failure may lose the last seconds.
    """

    def __init__(self, path: str | Path, carried: Iterable[Response] = ()) -> None:
        """Start the file anew with what is `carried`; until all of that is written, the file is what it was."""
        path = Path(path)
        anew = path.with_name(f"{path.name}.new")
        self._file = anew.open("wb")
        for response in carried:
            self.append(response)
        anew.replace(path)

    def append(self, response: Response) -> None:
        """Write one response."""
        self._file.write(response_to_json(response).encode("ascii") + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()

    def __enter__(self) -> Self:
        """The journal itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()
