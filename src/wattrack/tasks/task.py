"""A task: rows of one dataset, turned into samples in a fixed order, with the protocol they are asked by."""

import hashlib
import json
import logging
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from wattrack.errors import DatasetError
from wattrack.metrics.rows import POOLED
from wattrack.prompts.asking import Prompt
from wattrack.prompts.seeds import derived_seed
from wattrack.prompts.shots import Draw
from wattrack.protocols import Judging, Row, Scorer
from wattrack.sandbox.check import Sandbox
from wattrack.schema import ChoiceRequest, DatasetFacts, Record, Request, Response, Sample, Score
from wattrack.scorers import reasoning
from wattrack.tasks import hub
from wattrack.tasks.rows import Located, embedded_rows, find_local, local_file, local_rows

log = logging.getLogger(__name__)

Aggregate = Callable[[Sequence[Record]], Mapping[str, float | None]]
"""Metrics of a whole run that are no means over its questions, by bare name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the rows come from: the first of `data_dir`, `generator`, `embedded`, `hub_id` that is set."""

    name: str
    split: str
    embedded: str | None = None
    data_dir: Path | None = None
    prompts_dir: Path | None = None
    """Where the authors' prompts are, for protocols that take them."""
    hub_id: str | None = None
    hub_config: str | None = None
    parts: tuple[str, ...] = ()
    """Hub configs, or local files by stem, that make up the split; their rows get their part's name as `part`."""
    revision: str = "main"
    files: Mapping[str, str] = field(default_factory=dict)
    """Split -> name of its local file, where that is neither the split's own nor a usual one."""
    rows: int | None = None
    """Rows the publisher states; a different count is reported, not refused (a local subset is legitimate)."""
    reader: Callable[[Path, str], list[Located]] | None = None
    """(data_dir, split) -> rows, where a split in `data_dir` is no single file."""
    obtain: str | None = None
    """How to come by the files of `data_dir`, where the hub has none that fit."""
    generator: Callable[[], list[Located]] | None = None
    """Makes the rows, where nothing is read."""

    def load(self) -> tuple[list[Located], str, str | None]:
        """(located rows, what to call the source, resolved hub commit); DatasetError names file and line."""
        commit = None
        if self.reader is not None and self.data_dir is not None:
            rows, source = self.reader(self.data_dir, self.split), str(self.data_dir)
        elif self.data_dir is not None:
            rows, source = self._local(self.data_dir)
        elif self.generator is not None:
            rows, source = self.generator(), "generated"
        elif self.embedded is not None:
            rows, source = embedded_rows(self.embedded), f"embedded:{self.embedded}"
        elif self.hub_id is not None:
            rows, commit = self._hub(self.hub_id)
            source = self.hub_id
        elif self.obtain is not None:
            raise DatasetError(f"dataset {self.name}: its rows are not on the hub; set dataset.data_dir: {self.obtain}")
        else:
            raise DatasetError(f"dataset {self.name}: set hub_id, data_dir, generator or embedded")
        # The user's rows in place of those that come with the package.
        own = self.data_dir is not None and (self.embedded is not None or self.generator is not None)
        if self.rows is not None and len(rows) != self.rows and not own:
            log.warning("%s: %d rows in %s, the publisher states %d", self.name, len(rows), source, self.rows)
        return rows, source, commit

    def _local(self, folder: Path) -> tuple[list[Located], str]:
        """(rows, file or folder); a file of the whole split serves for all parts."""
        other = self.files.get(self.split)
        if not self.parts or local_file(folder, self.split) is not None:
            file = find_local(folder, self.split, other)
            return local_rows(file), str(file)
        rows = [_of_part(p, located) for p in self.parts for located in local_rows(find_local(folder, p))]
        return rows, str(folder)

    def _hub(self, hub_id: str) -> tuple[list[Located], str | None]:
        """(rows, commit); where they cannot be had, the refusal says which local files would do."""
        try:
            state = hub.find(hub_id, self.revision)
            if self.parts:
                pieces = ((part, hub.rows(state, part, self.split)) for part in self.parts)
                rows = [_of_part(part, located) for part, found in pieces for located in found]
            else:
                rows = hub.rows(state, self.hub_config, self.split)
            hub.remember(state)
            return rows, state.commit
        except hub.UnavailableError as e:
            stem = self.files.get(self.split, self.parts[0] if self.parts else self.split)
            more = " and so on" if self.parts else ""
            raise DatasetError(
                f"{e}; or give local files: dataset.data_dir=FOLDER with {stem}.jsonl (or .parquet, .csv){more}"
            ) from e


def _of_part(part: str, located: Located) -> Located:
    where, row = located
    return where, {**row, "part": part}


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """What a job asks."""

    samples: tuple[Sample, ...]
    requests: tuple[Request | ChoiceRequest, ...]
    """Every sample `repeats` times, in order."""
    facts: DatasetFacts
    prompt: Prompt
    """With every worked example in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One dataset under one protocol."""

    source: Source
    to_sample: Callable[[str, Row], Sample]
    prompt: Prompt
    scorer: Scorer
    headline: str
    protocol: str
    """Name and version, e.g. "gsm8k/base@2"."""
    order: str = "shuffled"
    sandbox: Sandbox | None = None
    """Where the scorer runs the programs that answers are; None = answers are no programs."""
    aggregate: Aggregate | None = None
    live_score: bool = True
    """Whether the scorer is cheap enough to be called inside a measured window."""
    text_reference: bool = False
    """Whether samples come with a text that says what a good answer says (see `similarity.reference`)."""
    judging: Judging | None = None
    """How another model is asked about the answers, where no program can rate them."""

    def questions(self, limit: int | None, seed: int, repeats: int) -> Questions:
        """The first `limit` samples in the task's order, as requests, and what identifies rows and prompt."""
        every, source, commit = self.read(self.source)
        samples = self._ordered(every, seed)[:limit]
        facts = self._facts(samples, source, commit)
        prompt = self.prompt.prepared(every, _Material(self, commit))
        samples = [turn for sample in samples for turn in prompt.turns(sample)]
        return Questions(
            samples=tuple(samples),
            requests=tuple(prompt.request(s, seed, repeat) for s in samples for repeat in range(repeats)),
            facts=facts,
            prompt=prompt,
        )

    def samples(self, limit: int | None, seed: int) -> tuple[list[Sample], DatasetFacts]:
        """The first `limit` samples in the task's order, and what identifies the rows used."""
        every, source, commit = self.read(self.source)
        samples = self._ordered(every, seed)[:limit]
        return samples, self._facts(samples, source, commit)

    def _ordered(self, samples: list[Sample], seed: int) -> list[Sample]:
        return shuffle(samples, seed) if self.order == "shuffled" else samples

    def _facts(self, samples: Sequence[Sample], source: str, commit: str | None) -> DatasetFacts:
        return DatasetFacts(
            name=self.source.name,
            protocol=self.protocol,
            source=source,
            config=self.source.hub_config,
            split=self.source.split,
            revision=commit,
            digest=digest(samples),
            rows=len(samples),
        )

    def read(self, origin: Source, *, may_skip: bool = False) -> tuple[list[Sample], str, str | None]:
        """(all samples of a split in file order, what to call the source, resolved hub commit).

        With `may_skip` rows that are no samples are left out, as long as any is one.
        """
        located, source, commit = origin.load()
        samples, problems = [], []
        counts: Counter[str] = Counter()
        first: dict[str, str] = {}
        for where, row in located:
            # Counted inside its part, so that an id means the same question whichever parts are asked.
            stem = str(row["part"]) if origin.parts and "part" in row else origin.split
            sample_id = f"{stem}-{counts[stem]:05d}"
            counts[stem] += 1
            try:
                sample = self.to_sample(sample_id, row)
                if not may_skip and first.setdefault(sample.id, where) != where:
                    raise DatasetError(f"the id {sample.id} occurs twice; it is also at {first[sample.id]}")
                samples.append(sample)
            except DatasetError as e:
                problems.append(f"{where}: {e}")
                if not may_skip:
                    break
        if problems and not (may_skip and samples):
            raise DatasetError(problems[0])
        if problems:
            log.warning("%s: %d rows are no worked examples; the first: %s", source, len(problems), problems[0])
        return samples, source, commit

    def requests(self, samples: Sequence[Sample], seed: int, repeats: int) -> list[Request | ChoiceRequest]:
        """Every sample `repeats` times, in order, by a prompt that needs no rows for its examples."""
        return [self.prompt.request(s, seed, repeat) for s in samples for repeat in range(repeats)]

    def score(self, sample: Sample, response: Response) -> Score:
        """The scorer's verdict with the protocol's headline metric as value; a failed response scores 0.

        No scorer sees what the model wrote for itself before it answered.
        """
        answer = reasoning.read(response.text, response.prompt_text).told
        verdict = self.scorer(sample, replace(response, text=answer))
        if response.error is not None:
            counts = set(POOLED.values())  # of what was asked, whatever became of it
            zeros = {name: value if name in counts else 0.0 for name, value in verdict.metrics.items()}
            judged = self.headline in verdict.metrics or not math.isnan(verdict.value)
            value = 0.0 if judged else math.nan
            return Score(value=value, answer=None, explanation=f"failed: {response.error}", metrics=zeros)
        return Score(
            value=verdict.metrics.get(self.headline, verdict.value),
            answer=verdict.answer,
            explanation=verdict.explanation,
            metrics=verdict.metrics,
        )


@dataclass(frozen=True, slots=True)
class _Material:
    """What a task's prompt takes besides the questions, all of it of the commit whose rows are asked."""

    task: Task
    commit: str | None

    @property
    def data_dir(self) -> Path | None:
        """The folder of the rows."""
        return self.task.source.data_dir

    @property
    def prompts_dir(self) -> Path | None:
        """The folder of the authors' prompts."""
        return self.task.source.prompts_dir

    def rows(self, draw: Draw) -> list[Sample]:
        """The samples of the split that worked examples are drawn from."""
        source = self.task.source
        # Of the same commit, whatever was pushed since; the publisher's row count is the asked split's.
        origin = replace(source, split=draw.split, revision=self.commit or source.revision, rows=None)
        # One bad row in a large training split must not stop the job; `first` promises the rows as they are.
        samples, _, _ = self.task.read(origin, may_skip=draw.pick != "first")
        return samples


def shuffle(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """A seeded permutation, stratified by group, whose prefixes nest: the first n are part of the first n + 1.

    Each group is permuted on its own and its k-th of m members is placed at (k + u) / m of the whole, u in [0, 1) a
    per-group offset, so every prefix holds each group in proportion. Without groups it is a plain permutation.
    """
    groups: dict[str | None, list[Sample]] = defaultdict(list)
    for sample in sorted(samples, key=lambda s: derived_seed(seed, s.id)):
        groups[sample.group].append(sample)
    placed = [
        ((k + derived_seed(seed, name) / 2**63) / len(members), derived_seed(seed, sample.id), sample)
        for name, members in groups.items()
        for k, sample in enumerate(members)
    ]
    return [sample for _, _, sample in sorted(placed, key=lambda p: p[:2])]


def digest(samples: Sequence[Sample]) -> str:
    """SHA-256 (hex) over ids, questions, targets, groups, choices and data, in order."""
    content = [
        [
            s.id,
            s.question,
            s.target,
            s.group,
            *([s.choices, s.labels] if s.choices else []),
            *([s.data] if s.data else []),
        ]
        for s in samples
    ]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
