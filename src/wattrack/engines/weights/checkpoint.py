"""Where a model's files are: a folder, the local Hugging Face cache, or the hub; found without torch."""

import json
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TypeVar

from wattrack.engines.weights.architectures import ARCHITECTURES
from wattrack.errors import EngineError

log = logging.getLogger(__name__)
T = TypeVar("T")

_CONFIG = "config.json"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")
_HUB_TIMEOUT_S = 5.0
"""Of one request. Name resolution has no timeout of its own, hence the deadline below."""
_HUB_DEADLINE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A model whose files are known to exist."""

    source: str
    """What `from_pretrained` is given: a folder or a hub id."""
    revision: str | None
    """Commit hash on the hub; None for a folder."""
    local: bool
    """Every file is on this disk: loading needs no network."""
    weight_bytes: int | None
    """Size of the weight files; None where the hub does not say."""
    dtype: str | None
    """Of the stored weights by config.json, e.g. "bfloat16"; None when unknown or where they are quantized."""
    tokenizer: bool = True
    """False: none beside the configuration, which only random weights can do without."""
    architecture: Mapping[str, object] | None = None
    """Bundled configuration values, where random weights are wanted and no config.json can be had."""


def locate(model_id: str, revision: str, weights: str = "pretrained") -> Checkpoint:
    """Find the model: folder, then cache, then hub; for random weights its configuration and tokenizer.

    A complete cached snapshot is used as it is, without asking the network whether there is a newer one.

    Raises:
        EngineError: what is missing or unreachable and what to do, in one line, within about 20 s.
    """
    folder = Path(model_id).expanduser()
    needs_weights = weights != "random"
    if folder.is_dir():
        return _in_folder(folder, source=str(folder), revision=None, needs_weights=needs_weights)
    if model_id.startswith((".", "/", "~", "\\")) or model_id.count("/") > 1:
        raise EngineError(f"model folder {model_id} does not exist: set model.id to a folder or a hub id")
    snapshot = _cached_snapshot(model_id, revision)
    if snapshot is not None and not (_missing(snapshot) if needs_weights else []):
        return _in_folder(snapshot, source=model_id, revision=snapshot.name, needs_weights=needs_weights)
    try:
        return _on_hub(model_id, revision, needs_weights=needs_weights)
    except EngineError as e:
        if needs_weights or model_id not in ARCHITECTURES:
            raise
        log.warning("%s: configuration values of the package, substitute tokenizer: %s", model_id, e)
        return _bundled(model_id)


def _bundled(model_id: str) -> Checkpoint:
    values = ARCHITECTURES[model_id]
    return Checkpoint(
        source=model_id,
        revision=None,
        local=True,
        weight_bytes=None,
        dtype=str(values["dtype"]),
        tokenizer=False,
        architecture=values,
    )


def _in_folder(folder: Path, *, source: str, revision: str | None, needs_weights: bool) -> Checkpoint:
    missing = _missing(folder)
    if not needs_weights:
        missing = [what for what in missing if what == _CONFIG]
    if missing:
        raise EngineError(f"model folder {folder} lacks {', '.join(missing)}")
    config = _read_json(folder / _CONFIG)
    weights = _weight_files(folder) if needs_weights else []
    for file in weights:
        _refuse_truncated(file)
    # Quantized weights keep their size in any dtype.
    dtype = None if config.get("quantization_config") else config.get("dtype") or config.get("torch_dtype")
    return Checkpoint(
        source=source,
        revision=revision,
        local=True,
        weight_bytes=sum(file.stat().st_size for file in weights) if needs_weights else None,
        dtype=dtype if isinstance(dtype, str) else None,
        tokenizer=_has_tokenizer(folder),
    )


def _missing(folder: Path) -> list[str]:
    """What a loadable folder must hold and this one does not, in words."""
    missing = [] if (folder / _CONFIG).is_file() else [_CONFIG]
    weights = _weight_files(folder)
    if not weights:
        missing.append(f"weights ({' or '.join(_WEIGHTS)}, or their .index.json with its shards)")
    missing += [f"weight shard {file.name}" for file in weights if not file.is_file()]
    if not _has_tokenizer(folder):
        missing.append("a tokenizer (tokenizer.json, tokenizer.model or vocab.json)")
    return missing


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _TOKENIZERS)


def _weight_files(folder: Path) -> list[Path]:
    """The files transformers would read, in its order of preference; shards are listed even when absent."""
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if index.is_file():
            shards = _read_json(index).get("weight_map")
            if not isinstance(shards, dict) or not shards:
                raise EngineError(f"{index} has no weight_map: download the model again")
            return [folder / str(shard) for shard in sorted(set(shards.values()))]
    return []


def _read_json(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise EngineError(f"{path} cannot be read as JSON ({e}): download the model again") from e
    if not isinstance(value, dict):
        raise EngineError(f"{path} holds no JSON object: download the model again")
    return value


def _refuse_truncated(file: Path) -> None:
    """A safetensors file states its own length; an interrupted download is shorter."""
    if file.suffix != ".safetensors":
        return
    try:
        with file.open("rb") as stream:
            header_bytes = int.from_bytes(stream.read(8), "little")
            if header_bytes > file.stat().st_size:
                raise ValueError("it ends inside its header")
            tensors = json.loads(stream.read(header_bytes))
        tensors.pop("__metadata__", None)
        whole = 8 + header_bytes + max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
        if file.stat().st_size < whole:
            raise ValueError(f"{file.stat().st_size} of {whole} bytes")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise EngineError(f"{file} is damaged or truncated ({e}): download the model again") from e


def _cached_snapshot(model_id: str, revision: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(model_id, _CONFIG, revision=revision)
    except HFValidationError as e:
        raise EngineError(f"model.id={model_id} is neither an existing folder nor a valid hub id") from e
    return Path(config).parent if isinstance(config, str) else None


def _on_hub(model_id: str, revision: str, *, needs_weights: bool) -> Checkpoint:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    api = HfApi()
    try:
        info = _within_deadline(
            lambda: api.model_info(model_id, revision=revision, timeout=_HUB_TIMEOUT_S, files_metadata=True)
        )
        if info.gated:
            _within_deadline(lambda: api.auth_check(model_id))
    except GatedRepoError as e:
        raise EngineError(
            f"{model_id} is gated: accept its licence at {api.endpoint}/{model_id} and set HF_TOKEN"
        ) from e
    except RevisionNotFoundError as e:
        raise EngineError(f"{model_id} has no revision {revision} on the hub: check model.revision") from e
    except RepositoryNotFoundError as e:
        raise EngineError(
            f"{model_id} is not on the Hugging Face hub, or is private: check model.id, or set HF_TOKEN"
        ) from e
    except Exception as e:  # offline mode, DNS, proxy, TLS, a hub error: the same remedies
        log.debug("hub request for %s failed", model_id, exc_info=True)
        raise EngineError(
            f"cannot reach the Hugging Face hub for {model_id} ({_first_line(e)}): connect, or set HF_HOME "
            "to a filled cache, or model.id=/path/to/folder"
        ) from e
    sizes = {file.rfilename: file.size for file in info.siblings or [] if "/" not in file.rfilename}
    stored = any({name, f"{name}.index.json"} & sizes.keys() for name in _WEIGHTS)
    if _CONFIG not in sizes or (needs_weights and not stored):
        raise EngineError(f"{model_id} on the hub is no transformers checkpoint (config.json, {_WEIGHTS[0]})")
    return Checkpoint(
        source=model_id,
        revision=info.sha,
        local=False,
        weight_bytes=_stored_bytes(sizes) if needs_weights else None,
        dtype=None,
        tokenizer=any(name in sizes for name in _TOKENIZERS),
    )


def _stored_bytes(sizes: Mapping[str, int | None]) -> int | None:
    """Of the files that transformers would read, in its order of preference; None where the hub does not say.

    Others may lie beside them: Mistral's repositories hold the same weights again as consolidated.safetensors.
    """
    weights: list[int | None] = []
    for name in _WEIGHTS:
        stem, suffix = name.split(".")
        if name in sizes:
            weights = [sizes[name]]
        elif f"{name}.index.json" in sizes:
            weights = [size for file, size in sizes.items() if fnmatch(file, f"{stem}-*-of-*.{suffix}")]
        if weights:
            break
    return sum(size for size in weights if size is not None) if weights and None not in weights else None


def _within_deadline(call: Callable[[], T]) -> T:
    """Run `call` in a daemon thread: name resolution can block far beyond any request timeout."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except Exception as e:  # handed to the waiting caller, which raises it
            log.debug("hub call failed: %s", type(e).__name__, exc_info=True)
            future.set_exception(e)

    threading.Thread(target=run, name="wattrack-hub-check", daemon=True).start()
    return future.result(timeout=_HUB_DEADLINE_S)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:150]
