"""Rows on the Hugging Face hub: one state of a repository, its files in the hub's cache, read like local files.

A branch is asked once for its commit and everything is fetched from that commit, so rows and recorded revision cannot
part. Without network the commit comes from the cache: `refs/BRANCH` says what the branch was when it was last seen.
The cache is the hub's own (`HF_HOME`): `hf download ID --repo-type dataset` on another machine fills it as well.
"""

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from wattrack.errors import DatasetError
from wattrack.tasks.hub_card import data_files, metadata
from wattrack.tasks.rows import Located, local_rows

log = logging.getLogger(__name__)

_ASK_DEADLINE_S = 12.0
"""For the commit of a branch. Name resolution has no timeout of its own."""
_SILENCE_S = 20.0
"""A download that gets no byte for so long is given up; the hub's client itself would try on for minutes."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
_T = TypeVar("_T")


class UnavailableError(DatasetError):
    """The rows may exist and cannot be had now: no network and not in the cache, or no access."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One state of a dataset's repository."""

    hub_id: str
    revision: str
    """What was asked for: a branch, tag or commit."""
    commit: str
    files: tuple[str, ...]
    """Paths in the repository; without network those that the cache has."""
    reached: bool
    """The hub itself named the commit and the files."""


def find(hub_id: str, revision: str) -> Snapshot:
    """The state that `revision` (branch, tag or commit) stands for, as the hub says, or without network the cache.

    DatasetError when the hub knows no such dataset or revision; UnavailableError when nobody can be asked.
    """
    try:
        commit, files = _ask(hub_id, revision)
    except _Unreachable as e:
        log.info("%s: the hub cannot be reached (%s); looking in the cache", hub_id, e)
        return _cached(hub_id, revision, str(e))
    return Snapshot(hub_id=hub_id, revision=revision, commit=commit, files=files, reached=True)


def rows(state: Snapshot, config: str | None, split: str) -> list[Located]:
    """The rows of a split; only its own files are downloaded. DatasetError names the file and the row."""
    readme = _fetch(state, "README.md").read_text("utf-8") if "README.md" in state.files else ""
    try:
        names = data_files(state.files, metadata(readme), config, split)
    except DatasetError as e:
        if not state.reached:
            raise UnavailableError(f"{state.hub_id}: of commit {state.commit[:12]} the cache {e}") from e
        raise DatasetError(f"{state.hub_id} {e}") from e
    paths = {name: _fetch(state, name) for name in names}
    return [
        (where.replace(str(path), f"{state.hub_id}/{name}"), row)
        for name, path in paths.items()
        for where, row in local_rows(path)
    ]


def cached_commit(hub_id: str, revision: str) -> str | None:
    """The commit that the cache has for a revision; None without one."""
    if _COMMIT.fullmatch(revision):
        return revision if (_folder(hub_id) / "snapshots" / revision).is_dir() else None
    ref = _folder(hub_id) / "refs" / revision
    commit = ref.read_text("utf-8").strip() if ref.is_file() else ""
    return commit if _COMMIT.fullmatch(commit) and (_folder(hub_id) / "snapshots" / commit).is_dir() else None


def complete_in_cache(hub_id: str, configs: Sequence[str | None], split: str, revision: str) -> str | None:
    """The commit of which the cache has every file of a split in all `configs`; None without. Reads no rows."""
    try:
        state = _cached(hub_id, revision, "not asked")
        card = metadata(_fetch(state, "README.md").read_text("utf-8")) if "README.md" in state.files else {}
        for config in configs:
            data_files(state.files, card, config, split)
    except DatasetError:
        return None
    return state.commit


def has_token() -> bool:
    """Whether the hub's client knows a token, from HF_TOKEN or a login."""
    from huggingface_hub import get_token

    return get_token() is not None


class _Unreachable(Exception):
    """No answer, or none of use, its text says which; not an error yet: the cache may serve."""


def _ask(hub_id: str, revision: str) -> tuple[str, tuple[str, ...]]:
    """(commit, files) from the hub."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        info = _within(
            lambda: HfApi().dataset_info(hub_id, revision=revision, timeout=_ASK_DEADLINE_S - 2), _ASK_DEADLINE_S
        )
    except GatedRepoError as e:
        raise _no_access(hub_id) from e
    except RepositoryNotFoundError as e:
        raise DatasetError(f"{hub_id}: the hub has no such dataset (or it is private and HF_TOKEN is not set)") from e
    except RevisionNotFoundError as e:
        raise DatasetError(f"{hub_id} has no revision {revision} on the hub: check dataset.revision") from e
    except HfHubHTTPError as e:
        status = e.response.status_code
        if status >= 500 or status == 429:
            raise _Unreachable(f"it answers {status}") from e
        hint = "check HF_TOKEN" if status in (401, 403) else _first_line(e)
        raise UnavailableError(f"{hub_id}: the hub refuses with status {status}: {hint}") from e
    except Exception as e:  # the HTTP stack below the hub's client has no common base for "no network"
        raise _Unreachable(_reason(e)) from e
    return str(info.sha), tuple(file.rfilename for file in info.siblings or ())


def _fetch(state: Snapshot, name: str) -> Path:
    """A file of the snapshot, from the cache or the hub. UnavailableError when it cannot be had."""
    path = _folder(state.hub_id) / "snapshots" / state.commit / name
    if path.is_file():
        return path
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import GatedRepoError

    def download() -> str:
        return hf_hub_download(state.hub_id, name, repo_type="dataset", revision=state.commit)

    try:
        return Path(_within(download, _SILENCE_S, lambda: _incomplete_bytes(_folder(state.hub_id) / "blobs")))
    except GatedRepoError as e:
        raise _no_access(state.hub_id) from e
    except Exception as e:
        raise UnavailableError(
            f"{state.hub_id}: {name} cannot be downloaded ({_reason(e)}); what is complete is kept: try again later"
        ) from e


def _incomplete_bytes(blobs: Path) -> int:
    """What the hub's client has of the files it is downloading there."""
    total = 0
    for path in blobs.glob("*.incomplete"):
        with suppress(FileNotFoundError):  # complete, and renamed, since it was listed
            total += path.stat().st_size
    return total


def _within(call: Callable[[], _T], silence_s: float, progress: Callable[[], int] = lambda: 0) -> _T:
    """The call's result; TimeoutError when it has neither ended nor, by `progress`, come on for `silence_s`."""
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except Exception as e:  # noqa: BLE001  handed to the caller as it is
            future.set_exception(e)

    threading.Thread(target=run, name="wattrack-hub", daemon=True).start()
    seen, heard = progress(), time.monotonic()
    while time.monotonic() - heard < silence_s:
        try:
            return future.result(timeout=min(0.5, silence_s))
        except TimeoutError:
            if future.done():
                raise
        if (now := progress()) != seen:
            seen, heard = now, time.monotonic()
    raise TimeoutError(f"no answer for {silence_s:.0f} s")


def _cached(hub_id: str, revision: str, reason: str) -> Snapshot:
    from huggingface_hub.constants import HF_HUB_CACHE

    commit = cached_commit(hub_id, revision)
    if commit is None:
        at = "" if revision == "main" else f" at {revision}"
        raise UnavailableError(
            f"cannot reach the Hugging Face hub for {hub_id} ({reason}), and the cache {HF_HUB_CACHE} does not have "
            f"it{at}: connect, or point HF_HOME to a filled cache"
        )
    folder = _folder(hub_id) / "snapshots" / commit
    files = tuple(sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()))
    return Snapshot(hub_id=hub_id, revision=revision, commit=commit, files=files, reached=False)


def remember(state: Snapshot) -> None:
    """Note what a branch stands for, once its files are there: that is the state to take without network.

    The hub's client keeps its own notes in the same place; a cache that cannot be written stays as it is.
    """
    ref = _folder(state.hub_id) / "refs" / state.revision
    before = ref.read_text("utf-8").strip() if ref.is_file() else None
    if not state.reached or _COMMIT.fullmatch(state.revision) or before == state.commit:
        return
    if before is not None:
        log.warning(
            "%s: %s has moved from %s to %s since it was last used; dataset.revision=%s keeps the old rows",
            state.hub_id, state.revision, before[:12], state.commit[:12], before,
        )  # fmt: skip
    try:
        ref.parent.mkdir(parents=True, exist_ok=True)
        aside = ref.with_name(f"{ref.name}.{os.getpid()}")
        aside.write_text(state.commit, "utf-8")
        aside.replace(ref)
    except OSError as e:
        log.info("%s: the cache cannot be written (%s)", state.hub_id, e)


def _folder(hub_id: str) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"datasets--{hub_id.replace('/', '--')}"


def _no_access(hub_id: str) -> UnavailableError:
    from huggingface_hub import constants

    page = f"{constants.ENDPOINT}/datasets/{hub_id}"
    if not has_token():
        return UnavailableError(f"{hub_id} is gated: accept its terms at {page} and set HF_TOKEN")
    return UnavailableError(f"{hub_id} is gated and the account of HF_TOKEN has no access: accept its terms at {page}")


def _reason(error: BaseException) -> str:
    """A few words: the innermost cause names what really happened."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    while not isinstance(error, HfHubHTTPError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    if isinstance(error, HfHubHTTPError):
        return f"it answers {error.response.status_code}"
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:150]
