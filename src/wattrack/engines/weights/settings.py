"""What the user asked of the transformers engine, checked for cheap value errors."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from wattrack.errors import ConfigError

CHOICES: Mapping[str, tuple[str, ...]] = {
    "dtype": ("auto", "fp32", "bf16", "fp16"),
    "device": ("auto", "cpu", "cuda"),
    "attention": ("auto", "eager", "sdpa", "flash_attention_2"),
    "kv_cache": ("dynamic", "static", "quantized"),
    "weights": ("pretrained", "random"),
    "quantization": ("none", "8bit", "4bit"),
    "mode": ("shared", "naive"),
    "products": ("auto", "torch"),
    "heap": ("kept", "plain"),
}

_PRESET_KEYS = {"dtype", "attention", "kv_cache", "batch_size", "quantization"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Requested settings; what the machine makes of them is decided while loading and reported."""

    model_id: str
    """Hub id or a local folder."""
    revision: str
    """Branch, tag or commit on the hub; ignored for folders."""
    chat: bool
    """Whether chat prompts may be sent."""
    dtype: str
    device: str
    threads: int | None
    """torch CPU threads; None = torch's own choice."""
    batch_size: int | None
    """Rows per batch; None = from the free memory; shrinks when memory runs out."""
    attention: str
    kv_cache: str
    context_length: int | None
    """Prompt + new tokens; None = what the checkpoint says."""
    mode: str
    seed: int
    weights: str = "pretrained"
    """`random`: the architecture without its checkpoint, for speed, memory and energy."""
    quantization: str = "none"
    """Of the weights, while loading."""
    products: str = "auto"
    """`auto`: mode shared computes fp32 products by oneDNN where that is faster; `torch`: by what torch takes."""
    heap: str = "kept"
    """On a CPU: `kept`: freed memory stays with the process, for its next pass; `plain`: as the C library does."""

    def __post_init__(self) -> None:
        """Refuse values outside their choices or ranges.

        Raises:
            ConfigError: names the key, the value and what is accepted.
        """
        if not self.model_id.strip():
            raise ConfigError("model.id is empty: expected a folder or a hub id such as Qwen/Qwen2.5-0.5B-Instruct")
        for key, choices in CHOICES.items():
            value = getattr(self, key)
            if value not in choices:
                raise ConfigError(f"engine.{key}={value}: expected one of {', '.join(choices)}")
        for key in ("threads", "batch_size", "context_length"):
            value = getattr(self, key)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ConfigError(f"engine.{key}={value}: expected a whole number of at least 1")

    def requested(self) -> dict[str, object]:
        """The preset's share of the settings, as facts to log."""
        names = {field.name for field in fields(self)} & _PRESET_KEYS
        return {f"preset/{name}": getattr(self, name) for name in sorted(names)}
