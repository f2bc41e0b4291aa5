"""Loads a checkpoint: tokenizer, weights, and the facts about them worth logging."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers import PreTrainedTokenizerBase as Tokenizer
from transformers.utils import logging as transformers_logging

from wattrack.engines.rows import is_out_of_memory, one_line
from wattrack.engines.text.thinking import Marks
from wattrack.engines.weights import heap, onednn
from wattrack.engines.weights.checkpoint import Checkpoint
from wattrack.engines.weights.effective import Effective, quantizer, resolve
from wattrack.engines.weights.fit import GIB, Fit
from wattrack.engines.weights.kept import KEEPER, Kept, ModelKey, in_use_bytes
from wattrack.engines.weights.loaded import Loaded, read_for_a_token, tensor_bytes
from wattrack.engines.weights.prediction import predict
from wattrack.engines.weights.settings import Settings
from wattrack.errors import EngineError
from wattrack.schema import ChoiceRequest, Request

log = logging.getLogger(__name__)

_KEPT_DEFAULTS = (
    "eos_token_id",
    "pad_token_id",
    "bos_token_id",
    "transformers_version",
    "_from_model_config",
)
"""Generation defaults of a checkpoint that say nothing about sampling."""


def load(settings: Settings, checkpoint: Checkpoint) -> Loaded:
    """Load tokenizer and weights, or take them over from an earlier job of this process; end with `release`.

    Raises:
        EngineError: no such device, or transformers cannot load the checkpoint; one line.
    """
    torch.manual_seed(settings.seed)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    with _one_line_refusal(settings.model_id):
        config = _config(settings, checkpoint)
        effective = resolve(settings, config)
        key = _key(settings, checkpoint, effective)
        kept = KEEPER.take(key)
        reused = kept is not None
        times = {"time/load_tokenizer_s": 0.0, "time/load_weights_s": 0.0}
        if kept is None:
            kept = _kept(settings, checkpoint, config, effective, key, times)
    effective.fallbacks += kept.fallbacks
    effective.attention, effective.dtype = kept.model.config._attn_implementation, kept.model.dtype
    loaded = Loaded(
        model=kept.model,
        kept=kept,
        tokenizer=kept.tokenizer,
        effective=effective,
        marks=Marks(kept.tokenizer),
        context=_context(settings, kept.model),
        end_ids=kept.end_ids,
        pad_id=_pad_id(kept),
        revision=checkpoint.revision or getattr(kept.model.config, "_commit_hash", None),
        weights_gib=tensor_bytes(kept.model) / GIB,
        facts={"effective/generation": kept.dropped_defaults, **times, "model/reused": reused},
    )
    if loaded.device.type == "cpu":
        loaded.by_onednn = settings.mode == "shared" and settings.products == "auto" and onednn.changes(loaded.model)
        loaded.facts["effective/heap"] = _heap(settings, effective)
    loaded.facts.update(_facts(settings, checkpoint, loaded))
    if reused:
        loaded.kept_gib = kept.loaded_bytes / GIB
    if KEEPER.left_over_gib is not None:
        loaded.left_over_gib, KEEPER.left_over_gib = KEEPER.left_over_gib, None
    return loaded


def prime(settings: Settings, checkpoint: Checkpoint, requests: Sequence[Request | ChoiceRequest]) -> Fit:
    """Import what loading this checkpoint imports on the way, free an earlier job's other model, and see what fits.

    Raises:
        EngineError: as `load`; or the model does not fit, with the numbers; or answers cannot be constrained as asked.
    """
    import accelerate  # noqa: F401  for device_map

    with _one_line_refusal(settings.model_id):
        config = _config(settings, checkpoint)
        tokenizer = _tokenizer(settings, checkpoint, config)
        effective = resolve(settings, config)
        held = KEEPER.held_bytes(_key(settings, checkpoint, effective))
        fit = predict(settings, config, effective, tokenizer, requests, checkpoint.weight_bytes)
    _check_constraints(config, tokenizer, requests)
    fit = replace(fit, free=None if fit.free is None else fit.free + held, used=max(0, fit.used - held))
    fit.refuse(settings.batch_size)
    return fit


def _check_constraints(config: Any, tokenizer: Tokenizer, requests: Sequence[Request | ChoiceRequest]) -> None:
    """EngineError where these answers cannot be constrained as asked; the stored end tokens come with the weights."""
    constrained = [r for r in requests if isinstance(r, Request) and r.constraint is not None]
    text = config.get_text_config(decoder=True)
    if constrained and (end_ids := _end_ids(text.eos_token_id, tokenizer)):
        from wattrack.engines.constrained.constraint import Grammars

        Grammars(tokenizer, end_ids, text.vocab_size).check(constrained)


def _kept(
    settings: Settings,
    checkpoint: Checkpoint,
    config: Any,
    effective: Effective,
    key: ModelKey,
    times: dict[str, float],
) -> Kept:
    """Load for real, noting memory and time."""
    started_s = time.perf_counter()
    tokenizer = _tokenizer(settings, checkpoint, config)
    times["time/load_tokenizer_s"] = round(time.perf_counter() - started_s, 4)
    known, before = len(effective.fallbacks), in_use_bytes(effective.device)
    started_s = time.perf_counter()
    if settings.weights == "random":
        model = _random(settings, config, effective)
    else:
        model = _weights(checkpoint.source, _origin(settings, checkpoint), effective)
    times["time/load_weights_s"] = round(time.perf_counter() - started_s, 4)
    found, effective.fallbacks[known:] = tuple(effective.fallbacks[known:]), []
    end_ids, dropped = _take_over_generation(model, tokenizer)
    return Kept(
        key=key,
        model=model,
        tokenizer=tokenizer,
        end_ids=end_ids,
        dropped_defaults=dropped,
        fallbacks=found,
        device=effective.device,
        weight_bytes=tensor_bytes(model),
        before_bytes=before,
        loaded_bytes=max(0, in_use_bytes(effective.device) - before),
    )


def _pad_id(kept: Kept) -> int:
    """The tokenizer's; padding is masked, so any id serves one that has none."""
    own = kept.tokenizer.pad_token_id
    return int(own) if own is not None else next(iter(kept.end_ids), 0)


def _heap(settings: Settings, effective: Effective) -> str:
    """Keep freed memory if wanted, in either mode: what one job sets holds for those that follow in its process."""
    if settings.heap == "kept":
        heap.keep_freed()
    elif heap.is_kept():
        effective.fallbacks.append(
            "heap plain -> kept: an earlier job's, for good; run this job in a process of its own"
        )
    return "kept" if heap.is_kept() else "plain"


def _key(settings: Settings, checkpoint: Checkpoint, effective: Effective) -> ModelKey:
    return ModelKey(
        source=checkpoint.source,
        revision=checkpoint.revision,
        weights=settings.weights,
        seed=settings.seed if settings.weights == "random" else None,
        dtype=effective.dtype_name(),
        device=str(effective.device),
        quantization=effective.quantization,
        attention=effective.attention,
    )


def _config(settings: Settings, checkpoint: Checkpoint) -> Any:
    if checkpoint.architecture is None:
        return AutoConfig.from_pretrained(checkpoint.source, **_origin(settings, checkpoint))
    values = dict(checkpoint.architecture)
    return AutoConfig.for_model(str(values.pop("model_type")), **values)


def _tokenizer(settings: Settings, checkpoint: Checkpoint, config: Any) -> Tokenizer:
    if not checkpoint.tokenizer:
        from wattrack.engines.weights.random_weights import substitute_tokenizer

        return substitute_tokenizer(config)
    tokenizer: Tokenizer = AutoTokenizer.from_pretrained(checkpoint.source, **_origin(settings, checkpoint))
    return tokenizer


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
    """The stored model in evaluation mode, on its device.

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
    if effective.quantization != "none":
        options["quantization_config"] = quantizer(effective)
    try:
        model, report = auto.from_pretrained(source, attn_implementation=effective.attention, **options)
    except (ValueError, ImportError) as e:
        if effective.attention is None or "attention" not in str(e).lower():
            raise
        effective.fallbacks.append(f"attention {effective.attention} -> the model's own: {one_line(e)[:120]}")
        model, report = auto.from_pretrained(source, **options)
    if missing := sorted(report["missing_keys"]):
        raise EngineError(f"{source} lacks {len(missing)} weights of the model, e.g. {missing[0]}")
    return model.eval()


def _random(settings: Settings, config: Any, effective: Effective) -> Any:
    """The architecture with random weights, in evaluation mode, on its device."""
    from wattrack.engines.weights.random_weights import build, build_quantized

    make = partial(build, config, dtype=effective.dtype, device=effective.device, seed=settings.seed)
    if effective.quantization != "none":
        make = partial(build_quantized, config, quantizer(effective), **make.keywords)
    try:
        model = make(attention=effective.attention)
    except (ValueError, ImportError) as e:
        if effective.attention is None or "attention" not in str(e).lower():
            raise
        effective.fallbacks.append(f"attention {effective.attention} -> the model's own: {one_line(e)[:120]}")
        config._attn_implementation = None
        model = make(attention=None)
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
    dropped = {key: value for key, value in theirs.to_diff_dict().items() if key not in _KEPT_DEFAULTS}
    model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
    line = ", ".join(f"{key}={value}" for key, value in sorted(dropped.items()))
    return _end_ids(ends, tokenizer), f"checkpoint defaults ignored: {line or 'none'}"


def _end_ids(ends: Any, tokenizer: Tokenizer) -> tuple[int, ...]:
    """A checkpoint's end tokens (one, several or None) and the tokenizer's own."""
    listed = [] if ends is None else list(ends) if isinstance(ends, (list, tuple)) else [ends]
    if tokenizer.eos_token_id is not None:
        listed.append(tokenizer.eos_token_id)
    return tuple(dict.fromkeys(int(end) for end in listed))


def _context(settings: Settings, model: Any) -> int | None:
    own = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    if settings.context_length is None:
        return int(own) if own is not None else None
    if own is not None and settings.context_length > own:
        log.warning("context_length=%d exceeds the %d of the checkpoint", settings.context_length, own)
    return settings.context_length


def _facts(settings: Settings, checkpoint: Checkpoint, loaded: Loaded) -> dict[str, object]:
    model, effective = loaded.model, loaded.effective
    read_bytes, layer_params = read_for_a_token(model)
    facts: dict[str, object] = {
        **settings.requested(),
        "model/class": type(model).__name__,
        "model/params": model.num_parameters(),
        "model/weights": settings.weights,
        "model/tokenizer": "own" if checkpoint.tokenizer else "substitute",
        "model/decode_read_gib": read_bytes / GIB,
        "model/layer_params": layer_params,
        "model/context_length": loaded.context,
        "engine/mode": settings.mode,
        "effective/dtype": effective.dtype_name(),
        "effective/quantization": effective.quantization,
        "effective/attention": effective.attention,
        "effective/kv_cache": effective.cache_name(),
        "effective/threads": torch.get_num_threads(),
    }
    if checkpoint.weight_bytes is not None:
        facts["model/disk_gib"] = checkpoint.weight_bytes / GIB
    return facts
