"""Loads a checkpoint: tokenizer, weights, and the facts about them worth logging."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers import PreTrainedTokenizerBase as Tokenizer
from transformers.utils import logging as transformers_logging

from wattrack.engines.batching import is_out_of_memory, one_line
from wattrack.engines.checkpoint import Checkpoint
from wattrack.engines.effective import Effective, resolve
from wattrack.engines.fit import GIB
from wattrack.engines.settings import Settings
from wattrack.errors import EngineError

log = logging.getLogger(__name__)

_KEPT_DEFAULTS = (
    "eos_token_id",
    "pad_token_id",
    "bos_token_id",
    "transformers_version",
    "_from_model_config",
)
"""Generation defaults of a checkpoint that say nothing about sampling."""


@dataclass(slots=True, kw_only=True)
class Loaded:
    """A model ready to generate, and how it came to be."""

    model: Any
    """None once closed."""
    tokenizer: Tokenizer
    effective: Effective
    context: int | None
    """Prompt + new tokens that fit; None = unlimited."""
    end_ids: tuple[int, ...]
    pad_id: int
    static_length: int = 0
    """Positions of a static cache: only grows, because every new size compiles the model again."""
    facts: dict[str, object]

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return self.effective.device

    def synchronize(self) -> None:
        """Wait for the device; nothing to wait for on CPU."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def release_cached_memory(self) -> None:
        """Give unused device memory back."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def load(settings: Settings, checkpoint: Checkpoint) -> Loaded:
    """Load tokenizer and weights.

    Raises:
        EngineError: no such device, or transformers cannot load the checkpoint; one line.
    """
    torch.manual_seed(settings.seed)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    origin = _origin(settings, checkpoint)
    with _one_line_refusal(settings.model_id):
        started_s = time.perf_counter()
        config = AutoConfig.from_pretrained(checkpoint.source, **origin)
        tokenizer = AutoTokenizer.from_pretrained(checkpoint.source, **origin)
        tokenizer_s = time.perf_counter() - started_s
        effective = resolve(settings, config)
        started_s = time.perf_counter()
        model = _weights(checkpoint.source, origin, effective)
        weights_s = time.perf_counter() - started_s
    end_ids, dropped = _take_over_generation(model, tokenizer)
    pad_id = end_ids[0] if end_ids else 0  # padding is masked: any id serves a tokenizer that has none
    loaded = Loaded(
        model=model,
        tokenizer=tokenizer,
        effective=effective,
        context=_context(settings, model),
        end_ids=end_ids,
        pad_id=pad_id if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id),
        facts={
            "effective/generation": dropped,
            "time/load_tokenizer_s": round(tokenizer_s, 4),
            "time/load_weights_s": round(weights_s, 4),
        },
    )
    loaded.facts.update(_facts(settings, checkpoint, loaded))
    return loaded


def prime(settings: Settings, checkpoint: Checkpoint) -> None:
    """Import what loading this checkpoint imports on the way, by building its tokenizer and an empty model.

    Raises:
        EngineError: as `load`.
    """
    import accelerate  # noqa: F401  for device_map

    origin = _origin(settings, checkpoint)
    with _one_line_refusal(settings.model_id), torch.device("meta"):
        AutoTokenizer.from_pretrained(checkpoint.source, **origin)
        auto: Any = AutoModelForCausalLM
        auto.from_config(AutoConfig.from_pretrained(checkpoint.source, **origin))


def _origin(settings: Settings, checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "revision": checkpoint.revision or settings.revision,
        "local_files_only": checkpoint.local,
        "trust_remote_code": False,
    }


@contextmanager
def _one_line_refusal(model_id: str) -> Iterator[None]:
    """Turn whatever transformers raises while loading into one line."""
    try:
        yield
    except EngineError:
        raise
    except Exception as e:
        advice = "; take a smaller model or a narrower dtype" if is_out_of_memory(e) else ""
        raise EngineError(f"cannot load {model_id}: {one_line(e)}{advice}") from e


def _weights(source: str, origin: dict[str, Any], effective: Effective) -> Any:
    """The model in evaluation mode, on its device, with `effective` brought up to date.

    Raises:
        EngineError: the checkpoint lacks weights, which transformers would make up.
    """
    auto: Any = AutoModelForCausalLM
    options = {
        **origin,
        "dtype": effective.dtype,
        "device_map": {"": effective.device},
        "output_loading_info": True,
    }
    try:
        model, report = auto.from_pretrained(source, attn_implementation=effective.attention, **options)
    except (ValueError, ImportError) as e:
        if effective.attention is None or "attention" not in str(e).lower():
            raise
        effective.fallbacks.append(f"attention {effective.attention} -> the model's own: {one_line(e)[:120]}")
        model, report = auto.from_pretrained(source, **options)
    if missing := sorted(report["missing_keys"]):
        raise EngineError(f"{source} lacks {len(missing)} weights of the model, e.g. {missing[0]}")
    effective.attention, effective.dtype = model.config._attn_implementation, model.dtype
    return model.eval()


def _take_over_generation(model: Any, tokenizer: Tokenizer) -> tuple[tuple[int, ...], str]:
    """Keep the end tokens of the checkpoint's generation defaults and drop the rest: only requests set those.

    Returns:
        The end tokens of checkpoint and tokenizer, and a line that names the defaults now ignored.
    """
    theirs = model.generation_config
    ends = theirs.eos_token_id
    if ends is None:
        ends = model.config.get_text_config(decoder=True).eos_token_id
    listed = [] if ends is None else list(ends) if isinstance(ends, (list, tuple)) else [ends]
    if tokenizer.eos_token_id is not None:
        listed.append(tokenizer.eos_token_id)
    dropped = {key: value for key, value in theirs.to_diff_dict().items() if key not in _KEPT_DEFAULTS}
    model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
    line = ", ".join(f"{key}={value}" for key, value in sorted(dropped.items()))
    return tuple(dict.fromkeys(int(end) for end in listed)), f"checkpoint defaults ignored: {line or 'none'}"


def _context(settings: Settings, model: Any) -> int | None:
    own = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    if settings.context_length is None:
        return int(own) if own is not None else None
    if own is not None and settings.context_length > own:
        log.warning("context_length=%d exceeds the %d of the checkpoint", settings.context_length, own)
    return settings.context_length


def _facts(settings: Settings, checkpoint: Checkpoint, loaded: Loaded) -> dict[str, object]:
    model, effective = loaded.model, loaded.effective
    tensors = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    facts: dict[str, object] = {
        **settings.requested(),
        "model/revision": checkpoint.revision or getattr(model.config, "_commit_hash", None),
        "model/class": type(model).__name__,
        "model/params": sum(parameter.numel() for parameter in model.parameters()),
        "model/weights_gib": sum(t.numel() * t.element_size() for t in tensors.values()) / GIB,
        "model/context_length": loaded.context,
        "engine/mode": settings.mode,
        "effective/dtype": effective.dtype_name(),
        "effective/device": effective.device_name(),
        "effective/attention": effective.attention,
        "effective/kv_cache": effective.cache_name(),
        "effective/threads": torch.get_num_threads(),
    }
    if checkpoint.weight_bytes is not None:
        facts["model/disk_gib"] = checkpoint.weight_bytes / GIB
    return facts
