"""The engine that runs models in this process on Hugging Face transformers."""

import ctypes
import gc
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from wattrack.engines.batching import Batcher, Row, one_line
from wattrack.engines.checkpoint import Checkpoint, locate
from wattrack.engines.fit import refuse_if_too_big
from wattrack.engines.settings import Settings
from wattrack.errors import EngineError
from wattrack.schema import Generation, Request, Response

if TYPE_CHECKING:
    from wattrack.engines.decoding import Plan
    from wattrack.engines.loading import Loaded
    from wattrack.engines.rendering import Renderer

log = logging.getLogger(__name__)

_COMPILER_MODULES = ("torch._dynamo", "torch._inductor", "triton")


class HFEngine:
    """Greedy or seeded generation in length-sorted batches; mode `naive` computes every position.

    Importing this module and building the engine costs milliseconds: `load` imports torch and transformers.
    In exact arithmetic an answer is a pure function of its request; kernels whose rounding depends on the
    shape of the batch (bf16, fp16) can still flip near ties between batch sizes.
    """

    def __init__(  # noqa: PLR0913 - Hydra passes plain values by name
        self,
        *,
        model_id: str,
        revision: str = "main",
        chat: bool = True,
        dtype: str = "auto",
        device: str = "auto",
        threads: int | None = None,
        batch_size: int = 8,
        attention: str = "auto",
        kv_cache: str = "dynamic",
        context_length: int | None = None,
        mode: str = "naive",
        seed: int = 0,
    ) -> None:
        """Store and check the settings; see `Settings` for their meaning.

        Raises:
            ConfigError: a value outside its choices or range.
        """
        self._settings = Settings(
            model_id=model_id,
            revision=revision,
            chat=chat,
            dtype=str(dtype),
            device=str(device),
            threads=threads,
            batch_size=batch_size,
            attention=str(attention),
            kv_cache=str(kv_cache),
            context_length=context_length,
            mode=str(mode),
            seed=seed,
        )
        self._checkpoint: Checkpoint | None = None
        self._loaded: Loaded | None = None
        self._renderer: Renderer | None = None
        self._threads_before: int | None = None
        self._batcher = Batcher(batch_size, self._release)
        self.computed_tokens = 0
        """Token positions computed since construction: prompts, and each later step of a row until its own
        end; no padding, no overrun. Take differences to get a phase's share."""

    def check(self) -> None:
        """Refuse early when the model cannot be found, reached or held in memory; without importing torch.

        Raises:
            EngineError: one line with what to do, within about 20 s also when the network is dead.
        """
        checkpoint = locate(self._settings.model_id, self._settings.revision)
        refuse_if_too_big(checkpoint.weight_bytes, checkpoint.dtype, self._settings)
        self._checkpoint = checkpoint

    def prepare(self) -> None:
        """Import torch, transformers and the model's own classes: seconds, and only in the first job of a process.

        Raises:
            EngineError: as `check` and `load`.
        """
        from wattrack.engines import decoding, loading, rendering  # noqa: F401

        if self._checkpoint is None:
            self.check()
        assert self._checkpoint is not None
        loading.prime(self._settings, self._checkpoint)

    def load(self) -> Mapping[str, object]:
        """Load tokenizer and weights; does what `check` does first where it was not called.

        Returns:
            Facts to log: see `facts`.

        Raises:
            EngineError: the checkpoint cannot be loaded.
        """
        import torch

        from wattrack.engines.loading import load
        from wattrack.engines.rendering import Renderer

        self.close()
        if self._checkpoint is None:
            self.check()
        assert self._checkpoint is not None
        self._threads_before = torch.get_num_threads()
        loaded = load(self._settings, self._checkpoint)
        self._renderer = Renderer(
            loaded.tokenizer,
            model_id=self._settings.model_id,
            chat=self._settings.chat,
            context=loaded.context,
        )
        self._loaded = loaded
        for fallback in loaded.effective.fallbacks:
            log.warning("%s: %s", self._settings.model_id, fallback)
        log.info("%s: %s", self._settings.model_id, loaded.facts["effective/generation"])
        return self.facts()

    def facts(self) -> dict[str, object]:
        """Requested and effective settings, revision, sizes and timings.

        Call it again after generating: running out of memory shrinks `effective/batch_size` and adds to
        `effective/fallbacks`.

        Raises:
            EngineError: called before `load`.
        """
        loaded, _ = self._ready()
        fallbacks = [*loaded.effective.fallbacks, *self._batcher.halvings]
        return {
            **loaded.facts,
            "effective/batch_size": self._batcher.size,
            "effective/fallbacks": "; ".join(fallbacks) or "none",
        }

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Yield one Response per request as each batch finishes, longest prompts first.

        Requests of unequal `Generation` settings never share a batch. With temperature above zero every row
        draws from a generator seeded with its own `Request.seed`, whatever rows are beside it.

        Raises:
            EngineError: not loaded, no chat template for chat prompts, or nothing works at all.
        """
        from wattrack.engines.decoding import plan

        loaded, renderer = self._ready()
        groups: dict[Generation, list[Request]] = {}
        for request in requests:
            groups.setdefault(request.generation, []).append(request)
        for generation, group in groups.items():
            rows, refused = renderer.rows(group)
            yield from refused
            if rows:
                shared = plan(loaded, generation, max(len(row.ids) for row in rows))
                yield from self._batcher.run(rows, partial(self._decode, shared))

    def synchronize(self) -> None:
        """Wait until the device has finished; a no-op on CPU."""
        if self._loaded is not None:
            self._loaded.synchronize()

    def close(self) -> None:
        """Drop the model, give device memory back, restore torch's threads. Idempotent."""
        loaded, self._loaded, self._renderer = self._loaded, None, None
        if self._threads_before is not None:
            import torch

            torch.set_num_threads(self._threads_before)
            self._threads_before = None
        if loaded is not None:
            loaded.model = None
            gc.collect()
            loaded.release_cached_memory()
            _return_free_memory()

    def _ready(self) -> "tuple[Loaded, Renderer]":
        if self._loaded is None or self._renderer is None:
            raise EngineError("the engine is not loaded: call load() first")
        return self._loaded, self._renderer

    def _release(self) -> None:
        gc.collect()
        if self._loaded is not None:
            self._loaded.release_cached_memory()

    def _decode(self, shared: "Plan", batch: Sequence[Row]) -> list[Response]:
        from wattrack.engines.decoding import decode_batch

        loaded, _ = self._ready()
        try:
            responses = decode_batch(loaded, shared, batch)
        except Exception as e:
            # A static cache compiles the model on CUDA: where that fails, the same batch runs uncompiled.
            if shared.config.disable_compile or not type(e).__module__.startswith(_COMPILER_MODULES):
                raise
            fallbacks = loaded.effective.fallbacks
            fallbacks.append(f"compiled decoding -> uncompiled: {one_line(e)[:120]}")
            log.warning("%s: %s", self._settings.model_id, fallbacks[-1])
            loaded.effective.cache["disable_compile"] = shared.config.disable_compile = True
            responses = decode_batch(loaded, shared, batch)
        for row, response in zip(batch, responses, strict=True):
            self.computed_tokens += len(row.ids) + response.output_tokens - 1
        return responses


def _return_free_memory() -> None:
    """Give freed heap back to the system, or the next job of this process would count it as its own (glibc only)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
