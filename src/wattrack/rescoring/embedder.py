"""An embedding model: texts to vectors, by a sentence-transformers checkpoint in a folder or on the hub.

Its own files say how tokens become one vector (pooling), whether that is scaled to length 1, how many tokens it reads
and which text it wants before every other; nothing is assumed where they do not. Code that comes with a checkpoint is
not run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from wattrack.engines.weights.checkpoint import Checkpoint, locate
from wattrack.errors import EngineError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_MODULES = "modules.json"
_BATCH_ROWS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """Texts as vectors."""

    vectors: npt.NDArray[np.float64]
    """(texts, dimensions)"""
    cut: tuple[bool, ...]
    """For each text whether it was longer than the model reads."""


class Embedder:
    """One embedding model; `check` finds it, `load` reads it, `close` frees it."""

    def __init__(self, *, model_id: str, revision: str, device: str) -> None:
        """`device`: auto, cpu or cuda."""
        self._model_id, self._revision, self._device = model_id, revision, device
        self._found: Checkpoint | None = None
        self._model: SentenceTransformer | None = None

    def check(self) -> Checkpoint:
        """Find the checkpoint and what says how it pools; EngineError, one line, within seconds."""
        if self._found is None:
            try:
                self._found = locate(self._model_id, self._revision)
            except EngineError as e:
                told = (
                    str(e).replace("model.id", "similarity.model_id").replace("model.revision", "similarity.revision")
                )
                raise EngineError(told) from e
            _require_modules(self._found)
        if find_spec("sentence_transformers") is None:
            raise EngineError("similarity.model_id needs sentence-transformers: pip install 'wattrack[similarity]'")
        return self._found

    def load(self) -> None:
        """Read weights and tokenizer; EngineError where the checkpoint is none that makes vectors of text."""
        found = self.check()
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        device = self._device if self._device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        try:
            model = SentenceTransformer(
                found.source, revision=found.revision, device=device, local_files_only=found.local
            )
        except Exception as e:
            raise EngineError(f"{found.source} cannot be loaded as an embedding model: {_first_line(e)}") from e
        self._model = model.eval()

    def facts(self) -> Mapping[str, object]:
        """What makes its vectors what they are, by parameter name."""
        assert self._model is not None and self._found is not None, "load comes first"
        from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

        modules = list(self._model)
        modes = [m.pooling_mode for m in modules if isinstance(m, Pooling)]
        named = [mode if isinstance(mode, str) else "+".join(mode) for mode in modes]
        return {
            "similarity/model_id": self._found.source,
            "similarity/revision": self._found.revision or "local folder",
            "similarity/pooling": named[0] if named else "the model's own",
            "similarity/normalised": any(isinstance(m, Normalize) for m in modules),
            "similarity/max_tokens": self._model.max_seq_length,
            "similarity/prompt": self._prompt(),
        }

    def embed(self, texts: Sequence[str]) -> Embedded:
        """One vector for each text; EngineError where one is not finite."""
        assert self._model is not None, "load comes first"
        made = self._model.encode(list(texts), batch_size=_BATCH_ROWS, show_progress_bar=False)
        vectors = np.asarray(made, dtype=np.float64).reshape(len(texts), -1)
        if not np.isfinite(vectors).all():
            raise EngineError(f"{self._model_id} makes vectors that are not finite: choose another embedding model")
        return Embedded(vectors=vectors, cut=self._cut(texts))

    def _cut(self, texts: Sequence[str]) -> tuple[bool, ...]:
        assert self._model is not None
        most = self._model.max_seq_length
        if most is None:
            return (False,) * len(texts)
        prompt = self._prompt()
        ids = self._model.tokenizer([prompt + text for text in texts], truncation=False, verbose=False)["input_ids"]
        return tuple(len(row) > most for row in ids)

    def _prompt(self) -> str:
        """What the checkpoint puts before every text by default; mostly nothing."""
        assert self._model is not None
        name = self._model.default_prompt_name
        return "" if name is None else self._model.prompts[name] or ""

    def close(self) -> None:
        """Free the model. Idempotent."""
        self._model = None


def _require_modules(found: Checkpoint) -> None:
    """The library takes the mean of any checkpoint's tokens where nothing says what to take: that is refused."""
    from huggingface_hub import hf_hub_download

    if found.revision is None:
        there = (Path(found.source) / _MODULES).is_file()
    else:
        try:
            there = bool(hf_hub_download(found.source, _MODULES, revision=found.revision, local_files_only=found.local))
        except Exception:  # noqa: BLE001  absent, cut off, refused: without the file there is no pooling to rely on
            there = False
    if not there:
        raise EngineError(
            f"{found.source} has no {_MODULES}, which says how tokens become one vector: similarity.model_id must be "
            "a sentence-transformers checkpoint"
        )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
