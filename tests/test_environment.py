"""Facts about the machine, and the size of a model's folder."""

import subprocess
from pathlib import Path

import pytest

import wattrack
from wattrack import environment


def test_the_facts_are_there_and_none_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATTRACK_ENV", "lab")
    facts = environment.describe()
    assert facts["env.label"] == "lab"
    assert {"env.hostname", "env.os_platform", "env.python", "env.cpu_logical", "env.ram_gib"} <= facts.keys()
    assert facts["env.mlflow"].count(".") == 2
    assert float(facts["env.ram_gib"]) > 0.1
    assert all(facts.values())


def test_the_checkout_reports_commit_and_changes(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    assert environment._checkout(tmp_path) == {}
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-m", "first", "--no-gpg-sign")
    clean = environment._checkout(tmp_path)
    assert len(clean["git.commit"]) == 40 and clean["git.dirty"] == "false"
    (tmp_path / "untracked").write_text("1")
    assert environment._checkout(tmp_path) == clean
    (tmp_path / "a").write_text("2")
    assert environment._checkout(tmp_path)["git.dirty"] == "true"


def test_without_git_nothing_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment._checkout(tmp_path) == {}


def test_the_version_is_that_of_the_code_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "version", lambda name: "0.0.1")  # as an install that the checkout left behind
    assert environment.describe()["env.wattrack"] == wattrack.__version__
