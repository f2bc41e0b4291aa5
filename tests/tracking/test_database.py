"""The store is made once, whole, whoever comes first and whatever dies on the way; what cannot work says so."""

import base64
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from wattrack.errors import TrackingError
from wattrack.tracking import database
from wattrack.tracking.database import ensure_store, sqlite_path, store_uri

CREATE_AND_LOG = """
import sys
from pathlib import Path
from tracking.examples import job_start
from wattrack.tracking.store import Tracker, ensure_store
uri = f"sqlite:///{sys.argv[1]}/mlruns/mlflow.db"
ensure_store(uri)
tracker = Tracker(uri, "shared", artifact_root=Path(sys.argv[1]) / "mlruns")
tracker.end(tracker.start(job_start()), "FINISHED", None)
"""
STOP_HALF_WAY = """
import sys, time
from pathlib import Path
from wattrack.tracking import database
def copy_half(source, target):
    Path(target).write_bytes(Path(source).read_bytes()[:100_000])
    print("half", flush=True)
    time.sleep(600)
database._fast_folder = lambda otherwise: otherwise
database.shutil.copyfile = copy_half
database.ensure_store(sys.argv[1])
"""
TESTS = Path(__file__).parents[1]


def _python(script: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(TESTS)!r})\n{script}", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_four_processes_create_one_store_at_once(tmp_path: Path) -> None:
    processes = [_python(CREATE_AND_LOG, str(tmp_path)) for _ in range(4)]
    outcomes = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, outcomes
    with closing(sqlite3.connect(tmp_path / "mlruns" / "mlflow.db")) as connection:
        assert connection.execute("SELECT status FROM runs").fetchall() == [("FINISHED",)] * 4
        assert connection.execute("SELECT count(*) FROM experiments WHERE name = 'shared'").fetchone() == (1,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.slow
def test_a_kill_while_creating_leaves_no_broken_store(tmp_path: Path) -> None:
    path = tmp_path / "mlruns" / "mlflow.db"
    process = _python(STOP_HALF_WAY, f"sqlite:///{path}")
    assert process.stdout is not None and process.stdout.readline() == "half\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not path.exists()
    ensure_store(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT name FROM experiments").fetchall() == [("Default",)]


def test_an_existing_store_is_left_as_it_is(outputs: Path, uri: str) -> None:
    path = outputs / "mlruns" / "mlflow.db"
    before = path.read_bytes()
    ensure_store(uri)
    assert path.read_bytes() == before


def test_journals_of_a_deleted_store_do_not_reach_the_new_one(tmp_path: Path) -> None:
    stale = tmp_path / "mlflow.db-wal"
    stale.write_bytes(b"not of this database")
    ensure_store(f"sqlite:///{tmp_path}/mlflow.db")
    assert not stale.exists() or stale.read_bytes() != b"not of this database"


def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    # A folder below a regular file, and /proc: refused to root as well, unlike missing permissions.
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "mlruns", Path("/proc/mlruns")):
        with pytest.raises(TrackingError, match=rf"{folder}/mlflow.db cannot be written .*tracking\.uri=") as e:
            ensure_store(f"sqlite:///{folder}/mlflow.db")
        assert "\n" not in str(e.value)


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.write_text("x" * 4096)
    with pytest.raises(TrackingError, match="is not an MLflow store"):
        ensure_store(f"sqlite:///{path}")
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine (x)")
    with pytest.raises(TrackingError, match="is not a complete MLflow store"):
        ensure_store(f"sqlite:///{path}")


def test_a_store_of_another_version_names_the_upgrade(outputs: Path, uri: str) -> None:
    with closing(sqlite3.connect(outputs / "mlruns" / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0123456789ab'")
    with pytest.raises(TrackingError, match=r"back it up, then run `mlflow db upgrade sqlite:////.*mlflow\.db`"):
        ensure_store(uri)


def test_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    with pytest.raises(TrackingError, match=r"http://127\.0\.0\.1:9 does not answer \(.*refused.*\): start it"):
        ensure_store("http://127.0.0.1:9")


def test_the_health_of_a_server_is_asked_with_the_login_of_its_address() -> None:
    request = database._health_request("http://me%40home:p%2Fw@host:5000/mlflow/")
    assert request.full_url == "http://host:5000/mlflow/health"
    assert request.unredirected_hdrs["Authorization"] == "Basic " + base64.b64encode(b"me@home:p/w").decode()
    with pytest.raises(TrackingError) as e:
        ensure_store("http://me:hunter2@127.0.0.1:9")
    assert "http://***@127.0.0.1:9 does not answer" in str(e.value)


def test_something_else_than_a_web_server_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def talk() -> None:
            connection, _ = listening.accept()
            connection.recv(1000)
            connection.sendall(b"220 mail\r\n")
            connection.close()

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(TrackingError, match="does not answer"):
            ensure_store(f"http://127.0.0.1:{port}")
        thread.join()


def test_a_stored_address_takes_its_login_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TrackingError, match=r"not kept on disk\. Set MLFLOW_TRACKING_URI to"):
        store_uri("postgresql://***@host/db", tmp_path)
    with pytest.raises(TrackingError, match="Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW"):
        store_uri("http://***@host", tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:pw@host/db")
    assert store_uri("postgresql://***@host/db", tmp_path) == "postgresql://me:pw@host/db"
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    assert store_uri("http://***@host", tmp_path) == "http://host"


def test_which_store_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store_uri(None, tmp_path) == f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000")
    assert store_uri(None, tmp_path) == "http://server:5000"
    assert store_uri("http://other:5000", tmp_path) == "http://other:5000"
    monkeypatch.chdir(tmp_path)
    assert store_uri("sqlite:///here/mlflow.db", tmp_path) == f"sqlite:///{tmp_path}/here/mlflow.db"


def test_an_sqlite_store_must_be_a_file() -> None:
    assert sqlite_path("postgresql://host/db") is None
    with pytest.raises(TrackingError, match="must be a file"):
        sqlite_path("sqlite://")


def test_a_network_file_system_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = f"/dev/a / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\n"
    monkeypatch.setattr(Path, "read_text", lambda *_: mounts)
    assert database._on_network(tmp_path / "mlruns")
    assert not database._on_network(Path("/somewhere/else"))


def test_importing_the_store_is_cheap() -> None:
    heavy = ("mlflow", "torch", "pandas", "matplotlib")
    script = f"import wattrack.tracking.store\nprint([m for m in {heavy} if m in sys.modules])"
    assert _python(script).communicate(timeout=60)[0] == "[]\n"
