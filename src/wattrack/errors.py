"""The exceptions wattrack raises on purpose.

    WattrackError
    ├── ConfigError      a setting that cannot be honoured; refused before anything runs
    ├── DatasetError     rows missing, unreadable, or not in the schema
    ├── EngineError      the model cannot be found, loaded or run
    ├── MonitorError     a meter cannot be read
    ├── ScoringError     a scorer met something it cannot judge
    └── TrackingError    the MLflow store cannot be reached or written

A message says what was expected, what came, and what to do next, in one line where one line serves.
Wrap foreign exceptions at the boundary that knows the reason, with `raise ... from e`.
"""


class WattrackError(Exception):
    """Base of every deliberate refusal; its text is for the user."""


class ConfigError(WattrackError):
    """A setting that cannot be honoured."""


class DatasetError(WattrackError):
    """Rows are missing, unreadable or malformed."""


class EngineError(WattrackError):
    """The model cannot be found, loaded or run."""


class MonitorError(WattrackError):
    """A meter cannot be read."""


class ScoringError(WattrackError):
    """A scorer met something it cannot judge."""


class TrackingError(WattrackError):
    """The MLflow store cannot be reached or written."""
