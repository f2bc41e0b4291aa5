"""What this machine makes of the requested settings; every difference has a reason, none is silent."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import BitsAndBytesConfig
from transformers.cache_utils import QuantizedCache

from wattrack.engines.rows import one_line
from wattrack.engines.weights.fit import cpu_computes_bf16
from wattrack.engines.weights.settings import Settings
from wattrack.errors import EngineError
from wattrack.facts import Device

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_BF16_CAPABILITY = (8, 0)
_QUANTIZED: Mapping[str, Mapping[str, int]] = {"fp8": {}, "quanto": {"nbits": 4}, "hqq": {"nbits": 4}}
"""Backends of the quantized cache by preference. fp8 needs no package, but not every transformers has it; its
scale is fixed by the first keys it sees, so it can change answers."""


@dataclass(slots=True, kw_only=True)
class Effective:
    """Settings in effect."""

    device: torch.device
    dtype: torch.dtype
    attention: str | None
    """None leaves the choice to transformers."""
    quantization: str = "none"
    """Of the weights: none, 8bit or 4bit."""
    cache: dict[str, Any] = field(default_factory=dict)
    """Arguments of GenerationConfig that select the KV cache; empty = dynamic."""
    fallbacks: list[str] = field(default_factory=list)
    """One line per requested setting that is not in effect, with the reason."""

    def on(self) -> Device:
        """The device as people know it."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else None
        return Device(kind=self.device.type, name=name)

    def dtype_name(self) -> str:
        """The dtype in the words of the settings."""
        return next((name for name, dtype in DTYPES.items() if dtype is self.dtype), str(self.dtype))

    def cache_name(self) -> str:
        """The KV cache in the words of the settings, with the backend of a quantized one."""
        backend = self.cache.get("cache_config", {}).get("backend")
        return f"{self.cache.get('cache_implementation', 'dynamic')}{f' ({backend})' if backend else ''}"


def resolve(settings: Settings, whole_config: Any) -> Effective:
    """Settle everything for a checkpoint's configuration; of several parts the language model counts.

    Raises:
        EngineError: CUDA was asked for and there is none.
    """
    config = whole_config.get_text_config(decoder=True)
    device = _device(settings.device)
    fallbacks: list[str] = []
    dtype = _dtype(settings.dtype, config.dtype or whole_config.dtype, device, fallbacks)
    attention = None if settings.attention == "auto" else settings.attention
    if attention == "flash_attention_2" and (reason := _no_flash(device, dtype)):
        fallbacks.append(f"attention flash_attention_2 -> sdpa: {reason}")
        attention = "sdpa"
    quantization = settings.quantization
    if quantization != "none" and (reason := _no_quantization(whole_config, device)):
        fallbacks.append(f"quantization {quantization} -> none: {reason}")
        quantization = "none"
    cache = _cache(settings.kv_cache, config, device, fallbacks)
    return Effective(
        device=device, dtype=dtype, attention=attention, quantization=quantization, cache=cache, fallbacks=fallbacks
    )


def _device(requested: str) -> torch.device:
    if requested == "cpu" or (requested == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise EngineError(
            f"device=cuda, but PyTorch {torch.__version__} sees no CUDA device: use hardware=cpu, or install "
            "the NVIDIA driver and a CUDA build of PyTorch"
        )
    return torch.device("cuda", torch.cuda.current_device())


def _dtype(requested: str, stored: object, device: torch.device, fallbacks: list[str]) -> torch.dtype:
    """Auto is the checkpoint's own on GPUs; on CPUs bf16 where the processor computes in it, else fp32."""
    if requested != "auto":
        dtype = DTYPES[requested]
    elif device.type == "cpu":
        return torch.bfloat16 if cpu_computes_bf16() else torch.float32
    else:
        dtype = stored if isinstance(stored, torch.dtype) else torch.float32
    if device.type == "cuda" and dtype is torch.bfloat16:
        capability = torch.cuda.get_device_capability(device)
        if capability < _BF16_CAPABILITY:
            fallbacks.append(f"dtype bf16 -> fp16: compute capability {capability} is below {_BF16_CAPABILITY}")
            return torch.float16
    return dtype


def _no_flash(device: torch.device, dtype: torch.dtype) -> str | None:
    """Why FlashAttention-2 cannot serve, or None."""
    if importlib.util.find_spec("flash_attn") is None:
        return "the package flash-attn is not installed"
    if device.type != "cuda":
        return "no CUDA"
    return None if dtype in (torch.bfloat16, torch.float16) else f"it needs bf16 or fp16, not {dtype}"


def _no_quantization(whole_config: Any, device: torch.device) -> str | None:
    """Why bitsandbytes cannot hold the weights, or None."""
    if getattr(whole_config, "quantization_config", None) is not None:
        return "the checkpoint is quantized already"
    if device.type != "cuda":
        return "no CUDA"
    return no_bitsandbytes()


def no_bitsandbytes() -> str | None:
    """Why weights cannot be quantized on any device here, or None."""
    if importlib.util.find_spec("bitsandbytes") is None:
        return "the package bitsandbytes is not installed (pip install 'wattrack[quantization]')"
    return None


def quantizer(effective: Effective) -> Any:
    """How transformers is to quantize while loading: NF4 with quantized constants, or 8 bits with outliers apart."""
    config: Any = BitsAndBytesConfig
    if effective.quantization == "8bit":
        return config(load_in_8bit=True)
    return config(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=effective.dtype,
    )


def _cache(requested: str, config: Any, device: torch.device, fallbacks: list[str]) -> dict[str, Any]:
    if requested == "static" and device.type == "cuda":
        return {"cache_implementation": "static"}
    if requested == "static":
        fallbacks.append("kv_cache static -> dynamic: no CUDA")
    if requested == "quantized":
        backend, reason = _quantized_backend(config)
        if backend is not None:
            cache_config = {"backend": backend, **_QUANTIZED[backend]}
            return {"cache_implementation": "quantized", "cache_config": cache_config}
        fallbacks.append(f"kv_cache quantized -> dynamic: {reason}")
    return {}


def _quantized_backend(config: Any) -> tuple[str | None, str]:
    """The first backend that can hold this model's cache, or None and why."""
    kinds = getattr(config, "layer_types", None) or (["sliding"] if getattr(config, "sliding_window", None) else [])
    if partial := sorted(set(kinds) - {"full_attention"}):
        return None, f"the model has layers without full attention ({', '.join(partial)})"
    reasons = []
    for backend, options in _QUANTIZED.items():
        try:
            QuantizedCache(backend, config, **options)
        except (ValueError, ImportError, TypeError) as e:
            reasons.append(one_line(e)[:120])
        else:
            return backend, ""
    return None, " / ".join(reasons)
