"""The engine that runs models in this process on Hugging Face transformers."""

import gc
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from wattrack.answering import ALL, Load
from wattrack.engines.plain.batching import Batcher
from wattrack.engines.rows import failed, one_line
from wattrack.engines.weights.checkpoint import Checkpoint, locate
from wattrack.engines.weights.fit import Fit, refuse_if_too_big
from wattrack.engines.weights.settings import Settings
from wattrack.errors import EngineError
from wattrack.facts import EngineFacts, EngineIdentity
from wattrack.protocols import Capabilities, Requests
from wattrack.schema import ChoiceRequest, Generation, Request, Response

if TYPE_CHECKING:
    from wattrack.engines.constrained.constraint import Grammars
    from wattrack.engines.plain.naive import NaiveMode
    from wattrack.engines.sharing.shared import SharedMode
    from wattrack.engines.text.rendering import Renderer
    from wattrack.engines.weights.loaded import Loaded

log = logging.getLogger(__name__)

_NAIVE_ROWS = 32
"""Most rows of an automatic batch in mode `naive`, whose padded batches waste more the more rows they have."""


class HFEngine:
    """Generation and log-probabilities; mode `shared` computes common beginnings once, `naive` every position.

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
        batch_size: int | None = None,
        attention: str = "auto",
        kv_cache: str = "dynamic",
        context_length: int | None = None,
        mode: str = "shared",
        seed: int = 0,
        weights: str = "pretrained",
        quantization: str = "none",
        products: str = "auto",
        heap: str = "kept",
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
            weights=str(weights),
            quantization=str(quantization),
            products=str(products),
            heap=str(heap),
        )
        self._checkpoint: Checkpoint | None = None
        self._fit: Fit | None = None
        self._loaded: Loaded | None = None
        self._renderer: Renderer | None = None
        self._grammars: Grammars | None = None
        self._threads_before: int | None = None
        self._batcher = Batcher(batch_size or _NAIVE_ROWS, self._release)
        self._naive: NaiveMode | None = None
        self._shared: SharedMode | None = None
        self._notes: dict[str, object] = {}
        """Facts found while running."""

    @property
    def computed_tokens(self) -> int:
        """Token positions computed since `load`: prompts, and each later step of a row until its own end.

        No padding, no overrun, a shared beginning once; the self-test's are not counted. Take differences to get a
        phase's share.
        """
        return sum(mode.computed_tokens for mode in (self._naive, self._shared) if mode is not None)

    def check(self) -> EngineIdentity:
        """Find the model, without importing torch; refuse early when it cannot be found, reached or held in memory.

        Raises:
            EngineError: one line with what to do, within about 20 s also when the network is dead.
        """
        checkpoint = locate(self._settings.model_id, self._settings.revision, self._settings.weights)
        refuse_if_too_big(checkpoint.weight_bytes, checkpoint.dtype, self._settings)
        self._checkpoint = checkpoint
        return EngineIdentity(model=self._settings.model_id, revision=checkpoint.revision)

    @property
    def capabilities(self) -> Capabilities:
        """Everything that an engine may offer."""
        return Capabilities(
            loglikelihood=self.loglikelihood,
            check_constraints=self.check_constraints,
            prepare=self.prepare,
            self_test=self.self_test,
            synchronize=self.synchronize,
        )

    def check_constraints(self) -> None:
        """Refuse constrained decoding where its library is not installed.

        Raises:
            EngineError: with how to install it.
        """
        from wattrack.engines.constrained.grammar import require

        require()

    def prepare(self, requests: Requests = ()) -> None:
        """Import torch, transformers and the model's own classes: seconds, and only in the first job of a process.

        Raises:
            EngineError: as `check` and `load`; or model and `requests` do not fit into the free memory; or the model's
                tokenizer, or the grammar library, cannot hold an answer to its constraint.
        """
        from wattrack.engines.plain import naive  # noqa: F401
        from wattrack.engines.sharing import selftest, shared  # noqa: F401
        from wattrack.engines.text import rendering  # noqa: F401
        from wattrack.engines.weights import loading

        if self._checkpoint is None:
            self.check()
        assert self._checkpoint is not None
        self._fit = loading.prime(self._settings, self._checkpoint, requests)

    def load(self) -> EngineFacts:
        """Load tokenizer and weights; does what `check` does first where it was not called.

        Returns:
            Facts to log: see `facts`.

        Raises:
            EngineError: the checkpoint cannot be loaded.
        """
        import torch

        from wattrack.engines.plain.naive import NaiveMode
        from wattrack.engines.text.rendering import Renderer
        from wattrack.engines.weights.loading import load

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
        self._naive, self._shared, self._notes = NaiveMode(loaded, self._batcher), None, {}
        for fallback in loaded.effective.fallbacks:
            log.warning("%s: %s", self._settings.model_id, fallback)
        log.info("%s: %s", self._settings.model_id, loaded.facts["effective/generation"])
        return self.facts()

    def facts(self) -> EngineFacts:
        """Requested and effective settings, revision, sizes and timings.

        Call it again after generating: running out of memory shrinks `effective/batch_size` and adds to
        `effective/fallbacks`.

        Raises:
            EngineError: called before `load`.
        """
        loaded, _ = self._ready()
        shares = self._settings.mode == "shared" and "effective/mode_reason" not in self._notes
        shared = self._shared
        tools = self._renderer.tools_form if self._renderer is not None else None
        unshown = ["tools native -> text: the chat template takes none"] if tools == "text" else []
        halvings = [*self._batcher.halvings, *(shared.halvings if shared is not None else ())]
        rows = shared.limits.slots if shares and shared is not None else self._batcher.size
        products = {"effective/products": "oneDNN"} if shares and loaded.by_onednn else {}
        predicted = self._fit.predicted_gib(rows, packed=shares) if self._fit is not None else None
        on_gpu = loaded.device.type == "cuda"
        return EngineFacts(
            devices=(loaded.effective.on(),),
            mode="shared" if shares else "naive",
            rows=rows,
            revision=loaded.revision,
            weights_gib=loaded.weights_gib,
            kept_gib=loaded.kept_gib,
            left_over_gib=loaded.left_over_gib,
            vram_predicted_gib=predicted if on_gpu else None,
            rss_predicted_gib=None if on_gpu else predicted,
            constraint=self._grammars.label if self._grammars is not None else None,
            tools=tools,
            shared_tokens=0 if shared is None else shared.shared_tokens,
            fallbacks=(*loaded.effective.fallbacks, *unshown, *halvings),
            shown={**loaded.facts, **self._notes, **products},
        )

    def self_test(self) -> None:
        """Mode `shared` against `naive` on a few short texts; where they disagree, the job runs `naive` and says so.

        Raises:
            EngineError: called before `load`.
        """
        from wattrack.engines.sharing.selftest import longest_text, self_test

        loaded, _ = self._ready()
        if self._why_naive(longest_text(loaded)) is not None:
            return
        try:
            outcome = self_test(loaded)
        except Exception as e:  # noqa: BLE001  whatever a strange architecture raises, it cannot share
            self._distrust(f"its self-test failed: {one_line(e)}")
            return
        self._notes["selftest/largest_logprob_difference"] = outcome.largest_difference
        self._notes["selftest/items"] = outcome.items
        self._notes["selftest/passed"] = outcome.passed
        if not outcome.passed:
            off = f"{outcome.largest_difference:.3g} (more than {outcome.tolerance:g})"
            self._distrust(f"its log-probabilities differ by {off} from plain ones")

    def generate(self, requests: Sequence[Request], load: Load = ALL) -> Iterator[Response]:
        """Yield one Response per request as they finish, longest prompts first; under load ONE in the order given.

        Requests of unequal `Generation` settings never share a batch, save that each row has its own `max_new_tokens`.
        With temperature above zero every row draws from a generator seeded with its own `Request.seed`, whatever rows
        are beside it.

        Raises:
            EngineError: not loaded, no chat template for chat prompts, or nothing works at all.
        """
        self._ready()
        for some in _arrivals(requests, load):
            yield from self._generate(some)

    def _generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        from wattrack.engines.plain.decoding import plan

        loaded, renderer = self._ready()
        grammars = self._constraining(requests)
        groups: dict[Generation, list[Request]] = {}
        for request in requests:
            groups.setdefault(replace(request.generation, max_new_tokens=0), []).append(request)
        for generation, group in groups.items():
            rows, refused = renderer.rows(group)
            if grammars is not None:
                why_not = [grammars.problem(row.request, row.prompt_text) for row in rows]
                refused += [
                    failed(r.request, why, row=r, kind="refused") for r, why in zip(rows, why_not, strict=True) if why
                ]
                rows = [row for row, why in zip(rows, why_not, strict=True) if not why]
            yield from refused
            if rows:
                longest = max(len(row.ids) for row in rows)
                settings = replace(generation, max_new_tokens=max(row.new_tokens for row in rows))
                mode = self._mode(max(len(row.ids) + row.new_tokens for row in rows))
                yield from mode.generate(rows, plan(loaded, settings, longest, grammars))

    def loglikelihood(self, requests: Sequence[ChoiceRequest], load: Load = ALL) -> Iterator[Response]:
        """Yield one Response with `logprobs` per request as batches finish.

        Raises:
            EngineError: not loaded, or nothing works at all.
        """
        _, renderer = self._ready()
        for some in _arrivals(requests, load):
            rows, refused = renderer.choices(some)
            yield from refused
            if rows:
                yield from self._mode(max(len(row.ids) for row in rows)).score(rows)

    def synchronize(self) -> None:
        """Wait until the device has finished; a no-op on CPU."""
        if self._loaded is not None:
            self._loaded.synchronize()

    def close(self) -> None:
        """Drop the model (or keep it for the next job of a sweep), restore torch's threads. Idempotent."""
        loaded, self._loaded, self._renderer, self._grammars = self._loaded, None, None, None
        self._naive = self._shared = None
        if self._threads_before is not None:
            import torch

            torch.set_num_threads(self._threads_before)
            self._threads_before = None
        if loaded is not None:
            from wattrack.engines.weights.loaded import release

            release(loaded)

    def _ready(self) -> "tuple[Loaded, Renderer]":
        if self._loaded is None or self._renderer is None:
            raise EngineError("the engine is not loaded: call load() first")
        return self._loaded, self._renderer

    def _release(self) -> None:
        gc.collect()
        if self._loaded is not None:
            self._loaded.release_cached_memory()

    def _constraining(self, requests: Sequence[Request]) -> "Grammars | None":
        """The grammars of this model's tokenizer, made once; None where no request is constrained."""
        if all(request.constraint is None for request in requests):
            return None
        if self._grammars is None:
            from wattrack.engines.constrained.constraint import Grammars

            loaded, _ = self._ready()
            width = loaded.model.config.get_text_config(decoder=True).vocab_size
            self._grammars = Grammars(loaded.tokenizer, loaded.end_ids, width)
        return self._grammars

    def _mode(self, longest: int) -> "NaiveMode | SharedMode":
        """Who answers texts of up to this many tokens, prompt and new ones, with limits that fit them."""
        from wattrack.engines.sharing.limits import limits
        from wattrack.engines.sharing.shared import SharedMode

        loaded, _ = self._ready()
        assert self._naive is not None
        fitting = limits(loaded.model, self._settings.batch_size, longest)
        if self._why_naive(longest) is not None:
            if self._settings.batch_size is None and not self._batcher.halvings:
                self._batcher.size = min(fitting.slots, _NAIVE_ROWS)
            return self._naive
        if self._shared is None:
            self._shared = SharedMode(loaded, fitting, self._naive, self._release)
        elif not self._shared.halvings:
            self._shared.limits = fitting
        return self._shared

    def _why_naive(self, longest: int) -> str | None:
        """Why prefixes are not shared; noted once."""
        from wattrack.engines.sharing.sharable import why_not

        loaded, _ = self._ready()
        if self._settings.mode == "naive":
            return "asked for"
        if (noted := self._notes.get("effective/mode_reason")) is not None:
            return str(noted)
        if self._settings.kv_cache == "quantized" and loaded.effective.cache:
            reason: str | None = "a quantized KV cache belongs to generate()"
        else:
            reason = why_not(loaded.model, longest)
        if reason is not None:
            self._distrust(reason)
        return reason

    def _distrust(self, reason: str) -> None:
        loaded, _ = self._ready()
        self._notes["effective/mode_reason"] = reason
        loaded.effective.fallbacks.append(f"mode shared -> naive: {reason}")
        log.warning("%s: mode shared -> naive: %s", self._settings.model_id, reason)


R = TypeVar("R", Request, ChoiceRequest)


def _arrivals(requests: Sequence[R], load: Load) -> Iterator[Sequence[R]]:
    """The requests as they come to a model in this process: together or one by one.

    Raises:
        EngineError: a load with workers or a clock, which only a server can be under.
    """
    if load.kind not in ("all", "one"):
        raise EngineError(f"a model in this process takes load=all or load=one, not {load.kind}: that is for servers")
    if load.kind == "all":
        yield requests
    else:
        yield from ([request] for request in requests)
