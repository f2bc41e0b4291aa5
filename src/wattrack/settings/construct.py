"""What a `_target_` of the configuration names, made: the edge to Hydra."""

from functools import partial
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from wattrack.errors import ConfigError


def constructed(node: DictConfig | dict[str, Any], key: str, **extra: object) -> Any:
    """What the node's `_target_` builds; its type is what the caller's annotation states.

    Args:
        node: names the target and its arguments.
        key: what the node is called in messages.
        extra: arguments besides the node's.

    Raises:
        ConfigError: it cannot be built, or was refused by its own constructor.
    """
    try:
        built = instantiate(node, **extra)
    except InstantiationException as e:
        if isinstance(e.__cause__, ConfigError):
            raise e.__cause__ from e
        reason = str(e.__cause__ or e).splitlines()[0]
        raise ConfigError(f"{key}: cannot be built from its settings: {reason}") from e
    # Hydra's own kind of partial checks its target anew in every call, which takes five times as long as scoring.
    return partial(built.func, *built.args, **built.keywords) if isinstance(built, partial) else built
