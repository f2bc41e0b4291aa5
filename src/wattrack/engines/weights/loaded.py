"""A model in memory, ready to answer, and how it came to be."""

import gc
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase as Tokenizer

from wattrack.engines.text.thinking import Marks
from wattrack.engines.weights.effective import Effective
from wattrack.engines.weights.kept import KEEPER, Kept, give_back


@dataclass(slots=True, kw_only=True)
class Loaded:
    """A model ready to generate, and how it came to be."""

    model: Any
    """None once closed."""
    tokenizer: Tokenizer
    effective: Effective
    context: int | None
    """Prompt + new tokens that fit; None = unlimited."""
    marks: Marks
    """Of reasoning, and new tokens as text."""
    end_ids: tuple[int, ...]
    pad_id: int
    kept: Kept | None = None
    """What outlives the job when another one wants the same weights."""
    by_onednn: bool = False
    """Whether mode shared computes fp32 products by oneDNN."""
    static_length: int = 0
    """Positions of a static cache: only grows, because every new size compiles the model again."""
    revision: str | None
    """The commit of the hub."""
    weights_gib: float
    facts: dict[str, object]
    """Everything else worth logging."""
    kept_gib: float | None = None
    """Memory of the model that was kept from the job before, where it was."""
    left_over_gib: float | None = None
    """Device memory that the model before did not give back."""

    @property
    def device(self) -> torch.device:
        """The torch device that holds the weights."""
        return self.effective.device

    def synchronize(self) -> None:
        """Wait for the device; nothing to wait for on CPU."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def release_cached_memory(self) -> None:
        """Give unused device memory back."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def release(loaded: Loaded) -> None:
    """End of a job: free the model, or leave it to the next job of this process."""
    loaded.model = None
    gc.collect()
    if loaded.kept is not None:
        KEEPER.end_of_job(loaded.kept)
        loaded.kept = None
    give_back(loaded.device)


def tensor_bytes(model: Any) -> int:
    """Bytes of all parameters and buffers, tied ones once."""
    tensors = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def read_for_a_token(model: Any) -> tuple[int, int]:
    """(bytes that a decoding step reads at least, weights that every computed position passes through).

    Lower bounds, for a roofline: of a table of embeddings one row is read (all of it where it is the output layer as
    well), of a mixture of experts perhaps others than these every time, and only some positions need the output layer.
    """
    tables = {id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Embedding)}
    output = model.get_output_embeddings()
    outputs = {id(weight) for weight in output.parameters()} if output is not None else set()
    weights = {id(w): w for name, w in model.named_parameters() if ".experts." not in name}
    read = sum(w.numel() * w.element_size() for i, w in weights.items() if i in outputs or i not in tables)
    return read, sum(w.numel() for i, w in weights.items() if i not in outputs | tables)
