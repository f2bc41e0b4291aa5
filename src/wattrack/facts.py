"""What an engine is and found out about itself: typed where the program depends on it, text where people read it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineIdentity:
    """Which model an engine would run, known before anything is loaded."""

    model: str
    """Hub id, folder or name, as it was found."""
    revision: str | None
    """Resolved commit of the hub; None where there is none."""
    served: str | None = None
    """What a server says it runs; None for a model in this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device that holds a part of the model."""

    kind: str
    """cpu, cuda, mps and so on, as torch names them."""
    name: str | None = None
    """The product, where the kind alone does not say it."""
    uuid: str | None = None
    """NVML's identifier of a GPU; None = not known."""

    def __str__(self) -> str:
        return self.kind if self.name is None else f"{self.kind}: {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """What an engine says of itself once it is loaded. Some of it changes while it generates. None = does not apply."""

    where: Literal["here", "elsewhere"] = "here"
    """elsewhere: on a server; the sensors of this machine say nothing about the model then."""
    devices: tuple[Device, ...] = ()
    """Every device that holds a part of the model; empty where nothing is computed or nothing is known."""
    replayed: bool = False
    """Whether answers were recorded by another run: nothing about speed, memory or energy is theirs."""
    mode: str
    """How answers come about: shared, naive, replay and so on."""
    rows: int | None = None
    """Limit of rows under way at a time, in effect."""
    revision: str | None = None
    """The commit that was loaded."""
    weights_gib: float | None = None
    kept_gib: float | None = None
    """Memory of a model that was kept from the job before."""
    left_over_gib: float | None = None
    """Device memory that the model before did not give back."""
    vram_predicted_gib: float | None = None
    rss_predicted_gib: float | None = None
    constraint: str | None = None
    """What holds answers to a schema, where anything did."""
    tools: str | None = None
    """How the model was told of functions, where it was."""
    shared_tokens: int | None = None
    """Tokens that were not computed because a common beginning had been."""
    fallbacks: tuple[str, ...] = ()
    """One line for each setting that is not in effect, with the reason."""
    shown: Mapping[str, object] = field(default_factory=dict)
    """Everything else worth logging, by parameter name; nothing in the program depends on it."""

    @property
    def on(self) -> str | None:
        """The kind of the devices, where it is one: cpu, cuda ..."""
        kinds = {device.kind for device in self.devices}
        return kinds.pop() if len(kinds) == 1 else None

    def params(self) -> dict[str, object]:
        """Everything flat, under the names that are logged; what does not apply is left out."""
        named = {
            "engine/where": self.where if self.where != "here" else None,
            "engine/replayed": True if self.replayed else None,
            "effective/device": ", ".join(map(str, self.devices)) or None,
            "effective/mode": self.mode,
            "effective/batch_size": self.rows,
            "effective/constraint": self.constraint,
            "effective/tools": self.tools,
            "tokens/shared": self.shared_tokens,
        }
        return {
            **self.shown,
            "model/revision": self.revision,
            "effective/fallbacks": "; ".join(self.fallbacks) or "none",
            **{name: value for name, value in named.items() if value is not None},
        }

    def metrics(self) -> dict[str, float | None]:
        """Those of the facts that are metrics."""
        return {
            "memory/weights_gib": self.weights_gib,
            "memory/kept_gib": self.kept_gib,
            "memory/left_over_gib": self.left_over_gib,
            "memory/vram_predicted_gib": self.vram_predicted_gib,
            "memory/rss_predicted_gib": self.rss_predicted_gib,
        }
