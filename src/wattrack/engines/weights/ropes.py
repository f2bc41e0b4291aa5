"""Rotary embeddings whose frequencies depend on the longest text of a pass: what may be computed beside what.

longrope has one set of frequencies up to `original_max_position_embeddings` tokens and another beyond; dynamic NTK
stretches them with the longest text it has seen. Beside such a text, or after it, a shorter one would be read with
frequencies that are not its own, and its answer would depend on its neighbours.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

_BY_LENGTH = ("dynamic", "longrope")


def by_length(config: Any) -> str | None:
    """The kind of rotary embedding that depends on length, from a (text) configuration; None = it does not."""
    return next((kind for kind, _ in _found(config)), None)


def limit(model: Any) -> int | None:
    """Tokens, new ones included, up to which a text's frequencies are the same in any company; None = always."""
    return min((tokens for _, tokens in _found(model.config.get_text_config(decoder=True))), default=None)


def apart(lengths: Sequence[tuple[int, int]], most: int | None) -> list[list[int]]:
    """Indices of rows that may share a pass: those that can grow beyond `most` tokens one at a time and longest first.

    `lengths` are (prompt, new) tokens. The others are together only with rows of as many new tokens: a row that has
    ended is padded until its neighbours have, so that it may grow beyond what it needs itself.
    """
    if most is None:
        return [[*range(len(lengths))]]
    alone = [i for i, (prompt, new) in enumerate(lengths) if prompt + new > most]
    together: dict[int, list[int]] = defaultdict(list)
    for i, (prompt, new) in enumerate(lengths):
        if prompt + new <= most:
            together[new].append(i)
    return [*([i] for i in sorted(alone, key=lambda i: -lengths[i][0])), *together.values()]


def forget(model: Any) -> None:
    """Put back the frequencies that a model begins with: dynamic NTK keeps those of the longest text it has seen."""
    if all(kind != "dynamic" for kind, _ in _found(model.config.get_text_config(decoder=True))):
        return
    for module in model.modules():
        for name, original in [*module.named_buffers(recurse=False)]:
            if name.endswith("original_inv_freq"):  # models with several kinds of layers put the kind before it
                prefix = name.removesuffix("original_inv_freq")
                setattr(module, f"{prefix}inv_freq", original.clone())
                setattr(module, f"{prefix}max_seq_len_cached", module.original_max_seq_len)


def _found(config: Any) -> list[tuple[str, int]]:
    """(kind, tokens up to which it does not depend on length) of every such embedding."""
    parameters = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    # Models with several kinds of layers have one set of parameters for each.
    found = []
    for one in (parameters, *(value for value in parameters.values() if isinstance(value, dict))):
        kind = str(one.get("rope_type", one.get("type")))
        if kind in _BY_LENGTH:
            own = one.get("original_max_position_embeddings") if kind == "longrope" else None
            found.append((kind, int(own or config.max_position_embeddings)))
    return found
