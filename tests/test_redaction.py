"""No secret reaches a parameter, an artifact or a file of a job."""

from collections.abc import Callable
from pathlib import Path

import pytest

from wattrack.redaction import redacted


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"uri": "http://me:pw@host:5000/x"}, {"uri": "http://***@host:5000/x"}),
        ({"uri": "http://me:p@w@host/a@b"}, {"uri": "http://***@host/a@b"}),
        ({"uri": "http://token@host"}, {"uri": "http://***@host"}),
        ({"a": [{"hf_token": "abc"}]}, {"a": [{"hf_token": "***"}]}),
        ({"api_key": "abc", "api_key_env": "NAME"}, {"api_key": "***", "api_key_env": "NAME"}),
        ({"max_new_tokens": 5, "token": None}, {"max_new_tokens": 5, "token": None}),
        ({"template": "Q: {question} a@b"}, {"template": "Q: {question} a@b"}),
    ],
)
def test_redacted(settings: object, shown: object) -> None:
    assert redacted(settings) == shown


def test_a_password_in_an_address_is_nowhere(run_here: Callable[..., int], outputs: Path) -> None:
    hidden = "hunter2"
    code = run_here("model=demo_xs", "limit=2", "probe_questions=0", f"dataset.licence=http://me:{hidden}@host/")
    assert code == 0
    files = [p for p in outputs.rglob("*") if p.is_file() and ".hydra" not in p.parts]
    assert len(files) > 5
    assert not [p for p in files if hidden.encode() in p.read_bytes()]
