"""What goes wrong, in one line for people: how an error is said and where it is printed."""

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from wattrack.errors import WattrackError
from wattrack.redaction import redacted
from wattrack.settings.refusal import refusal

DETAILS = " (details in job.log)"

_stderr = Console(stderr=True)


def complain(text: str) -> None:
    """Print a line about something that went wrong, without secrets, where errors go."""
    _stderr.print(redacted(text), style="red", markup=False, highlight=False, soft_wrap=True)


def explain(error: BaseException, details: str = DETAILS) -> str:
    """One line for people; Hydra's composition errors get the key and the choices."""
    if isinstance(error, HydraException | OmegaConfBaseException):
        return refusal(error)
    if isinstance(error, WattrackError):
        return str(error)
    return f"{type(error).__name__}: {error}{details}"


def is_refusal(error: BaseException) -> bool:
    """Whether a setting was refused, by Hydra, by OmegaConf or by us, and nothing broke."""
    return isinstance(error, HydraException | OmegaConfBaseException | WattrackError)
