"""No secret reaches a parameter, an artifact or a file of a job."""

from collections.abc import Callable
from pathlib import Path

import pytest

from wattrack.redaction import redacted, redacted_overrides


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


def test_overrides_are_shown_without_secrets() -> None:
    pairs = {
        "model=a,b": "model=a,b",
        "engine.api_key=abc": "engine.api_key=***",
        "++password=x": "++password=***",
        "tracking.uri=http://me:pw@host/": "tracking.uri=http://***@host/",
        "+engine.env={api_key:S,max_tokens:3}": "+engine.env={api_key:***,max_tokens:3}",
        "~limit": "~limit",
        "a=b=c": "a=b=c",
    }
    assert redacted_overrides(pairs) == tuple(pairs.values())


@pytest.mark.parametrize("sweep", [[], ["-m"]], ids=["job", "sweep"])
def test_a_password_in_an_address_is_nowhere(run_here: Callable[..., int], outputs: Path, sweep: list[str]) -> None:
    hidden = "hunter2"
    settings = ["engine._target_=scripted.TextEngine", f"dataset.licence='http://me:{hidden}@host/'"]
    assert run_here(*sweep, "limit=2", "probe_questions=0", *settings) == 0
    by_hydra = (".hydra", "multirun.yaml")  # its own record of the command, in the user's folder alone
    files = [p for p in outputs.rglob("*") if p.is_file() and not {*p.parts}.intersection(by_hydra)]
    assert len(files) > 5
    assert not [p for p in files if hidden.encode() in p.read_bytes()]
