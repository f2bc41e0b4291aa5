"""The database behind a tracking store: where it is, that it is there, and that it can be used.

MLflow creates a missing SQLite store on first touch, and two processes doing so at once break it for good; so
does a kill in the middle. Here it is built aside under a lock and renamed into place.
"""

import base64
import http.client
import logging
import os
import shutil
import sqlite3
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from wattrack.errors import TrackingError
from wattrack.redaction import HIDDEN, redacted

log = logging.getLogger(__name__)

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",
    "MLFLOW_GENAI_EVAL_MAX_WORKERS": "1",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",  # half a minute; the default waits four for a server that is gone
}
_NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "lustre", "gpfs", "beegfs", "ceph", "afs"}
_SQLITE = "sqlite:///"
_ELSEWHERE = "or name another store with tracking.uri=... or MLFLOW_TRACKING_URI"
_BUSY_TIMEOUT_S = 20.0


def quiet_environment() -> None:
    """Set what MLflow reads at its import (no telemetry, no progress bars, no noise); the user's own values win.

    MLFLOW_RUN_ID is removed: MLflow would silently continue that run in every job.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ.pop("MLFLOW_RUN_ID", None)


def store_uri(configured: str | None, root: Path) -> str:
    """The store's URI: `configured`, else $MLFLOW_TRACKING_URI, else the SQLite file under `root`/mlruns.

    A relative SQLite path is made absolute, because child processes may run in another folder.

    Raises:
        TrackingError: `configured` was stored without its password, and the environment does not give it.
    """
    uri = (
        _with_credentials(configured)
        or os.environ.get("MLFLOW_TRACKING_URI")
        or f"{_SQLITE}{root.resolve()}/mlruns/mlflow.db"
    )
    path = sqlite_path(uri)
    return uri if path is None else f"{_SQLITE}{path}"


def _with_credentials(stored: str | None) -> str | None:
    """A job's configuration is kept without the password of its store: take that from MLflow's own variables."""
    if stored is None or f"://{HIDDEN}@" not in stored:
        return stored
    if redacted(full := os.environ.get("MLFLOW_TRACKING_URI", "")) == stored:
        return full
    if stored.startswith("http") and "MLFLOW_TRACKING_USERNAME" in os.environ:
        return stored.replace(f"{HIDDEN}@", "")  # MLflow sends them itself
    ways = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, " if stored.startswith("http") else ""
    raise TrackingError(
        f"{stored}: this store's user and password are not kept on disk. Set {ways}"
        f"{'or ' * bool(ways)}MLFLOW_TRACKING_URI to the store's full address."
    )


def sqlite_path(uri: str) -> Path | None:
    """The absolute file of an SQLite URI; None for every other kind of store."""
    if not uri.startswith("sqlite:"):
        return None
    name = uri.removeprefix(_SQLITE).split("?")[0]
    if not uri.startswith(_SQLITE) or name in ("", ":memory:"):
        raise TrackingError(f"{uri}: an SQLite store must be a file, for example sqlite:////path/to/mlflow.db")
    return Path(name).expanduser().absolute()


def ensure_store(uri: str) -> None:
    """Make sure the store can be written: create a missing SQLite file, ask a server for its health.

    Safe against other processes doing the same and against being killed in the middle. Takes about two
    seconds when the file has to be made.

    Raises:
        TrackingError: not writable, not reachable, or made by another MLflow version; one sentence with the
            way out.
    """
    quiet_environment()
    path = sqlite_path(uri)
    if path is not None:
        _ensure_file(path)
    elif uri.startswith(("http://", "https://")):
        _ensure_server(uri)


def _ensure_file(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.parent / "mlflow.lock"):
            if not path.exists() or path.stat().st_size == 0:
                _create(path)
        _check_writable(path)
    except (OSError, sqlite3.OperationalError) as e:
        raise TrackingError(f"The MLflow store {path} cannot be written ({e}): make it writable {_ELSEWHERE}.") from e
    except sqlite3.DatabaseError as e:
        raise TrackingError(f"{path} is not an MLflow store ({e}): move it away {_ELSEWHERE}.") from e
    _check_schema(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`; the kernel releases it when the process dies."""
    try:
        import fcntl
    except ImportError:  # Windows: first use by several processes at once is not protected
        yield
        return
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _create(path: Path) -> None:
    """Build a complete store aside and rename it to `path`; the caller holds the lock."""
    log.info("Creating the MLflow store %s", path)
    staged = path.with_name(f".{path.name}.new")
    with tempfile.TemporaryDirectory(prefix="wattrack-store-", dir=_fast_folder(path.parent)) as folder:
        built = Path(folder) / "mlflow.db"
        _build(built, path.parent)
        journal = "DELETE" if _on_network(path.parent) else "WAL"
        with closing(sqlite3.connect(built)) as connection:
            connection.execute(f"PRAGMA journal_mode={journal}")
        shutil.copyfile(built, staged)
    with staged.open("rb+") as file:
        os.fsync(file.fileno())
    for suffix in ("-wal", "-shm", "-journal"):  # SQLite would replay a deleted predecessor's
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    staged.replace(path)


def _build(path: Path, artifact_root: Path) -> None:
    """All tables and the default experiment, made by MLflow itself."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store: Any = SqlAlchemyStore(f"{_SQLITE}{path}", str(artifact_root))  # type: ignore[no-untyped-call]
    store._dispose_engine()


def _fast_folder(otherwise: Path) -> Path:
    """Memory-backed storage when there is some: the build is bound by fsync."""
    memory = Path("/dev/shm")
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 64 * 2**20:
        return memory
    return otherwise


def _on_network(folder: Path) -> bool:
    """Whether the file system is shared over a network, where write-ahead logging corrupts."""
    try:
        mounts = Path("/proc/mounts").read_text("utf-8").splitlines()
    except OSError:
        return False
    best, kind = "", ""
    for mount in mounts:
        _, point, file_system = mount.split(" ")[:3]
        point = point.replace("\\040", " ")
        if folder.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, file_system
    return kind in _NETWORK_FILE_SYSTEMS or kind.startswith("fuse.sshfs")


def _check_writable(path: Path) -> None:
    with closing(sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE wattrack_write_check (x)")
        connection.execute("ROLLBACK")


def _check_schema(path: Path) -> None:
    """Compare the file's schema revision with the installed MLflow's; TrackingError when they differ."""
    from mlflow.store.db.utils import _get_latest_schema_revision

    try:
        with closing(sqlite3.connect(path)) as connection:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.DatabaseError as e:
        raise TrackingError(f"{path} is not a complete MLflow store ({e}): move it away {_ELSEWHERE}.") from e
    expected = _get_latest_schema_revision()  # type: ignore[no-untyped-call]
    if found is None or found[0] != expected:
        raise TrackingError(
            f"The MLflow store {path} was written by another MLflow version: back it up, then run "
            f"`mlflow db upgrade {_SQLITE}{path}`, {_ELSEWHERE}."
        )


def _ensure_server(uri: str) -> None:
    try:
        with urllib.request.urlopen(_health_request(uri), timeout=10):
            return
    except urllib.error.HTTPError as e:
        if e.code < 500:
            return  # something answers there; a login is asked for when it matters
        reason: object = e
    except (OSError, ValueError, http.client.HTTPException) as e:
        reason = getattr(e, "reason", e)
    raise TrackingError(
        f"The MLflow server {redacted(uri)} does not answer ({redacted(str(reason))}): start it, or leave tracking.uri "
        "and MLFLOW_TRACKING_URI unset to use the local store."
    )


def _health_request(uri: str) -> urllib.request.Request:
    """Asks for the server's health; urllib would take user:password@host for the name of the host."""
    address = urlsplit(f"{uri.rstrip('/')}/health")
    login, _, host = address.netloc.rpartition("@")
    request = urllib.request.Request(address._replace(netloc=host).geturl())
    if login:
        user, _, password = login.partition(":")
        basic = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {basic}")
    return request
