"""What a run cannot do without: failures of the store become one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from wattrack.errors import TrackingError
from wattrack.redaction import redacted
from wattrack.tracking import entries


@contextmanager
def essential(problem: str) -> Iterator[None]:
    """Turn every failure of the store into one TrackingError that starts with `problem`."""
    try:
        yield
    except _store_errors() as e:
        reason = entries.cut(str(e).partition("\n")[0], 300)
        text = f"MLflow: {problem} ({reason}). Check tracking.uri and that the store is writable."
        raise TrackingError(redacted(text)) from e


def _store_errors() -> tuple[type[Exception], ...]:
    """What a store may raise; asked for only when something was raised, so that nothing is imported for it in vain."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return (MlflowException, SQLAlchemyError, OSError)
