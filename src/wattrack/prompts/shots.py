"""Worked examples: shipped ones, and rows of another split, the same for every question."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

import yaml

from wattrack.errors import ConfigError, DatasetError
from wattrack.prompts.seeds import derived_seed
from wattrack.prompts.typed import settle
from wattrack.schema import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One worked example."""

    question: str
    answer: str
    options: str = ""
    """One line for each choice, where there are choices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """Which rows become worked examples; the same ones for every question of a group, whatever the job's seed."""

    split: str
    count: int
    pick: str = "seeded"
    """`first`: in file order, as published; `seeded`: a draw by `seed` and the rows' texts, whatever their order."""
    seed: int = 0
    skip: int = 0
    """Rows that `first` leaves out at the beginning."""

    def __post_init__(self) -> None:
        """Refuse values that have no meaning. ConfigError names the field."""
        try:
            settle(self)
        except ConfigError as e:
            raise ConfigError(f"shots.{e}") from e
        for name, least in (("count", 1), ("skip", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"shots.{name}={getattr(self, name)}: must be {least} or more")
        if self.pick not in ("seeded", "first"):
            raise ConfigError(f"shots.pick={self.pick}: expected one of seeded, first")
        if self.skip and self.pick != "first":
            raise ConfigError(f"shots.skip={self.skip}: only with pick: first")

    def drawn(self, rows: Sequence[Sample], asked: Sequence[Sample]) -> dict[str | None, tuple[Sample, ...]]:
        """The examples by group of `asked`; none of them has the text of a question in it.

        Rows with groups give every group examples of its own. DatasetError when there are too few.
        """
        texts = {(sample.group, sample.question) for sample in asked}
        pools: dict[str | None, list[Sample]] = {group: [] for group, _ in texts}
        for row in rows[self.skip :]:
            if row.group in pools and (row.group, row.question) not in texts:
                pools[row.group].append(row)
        return {group: self._picked(group, pool) for group, pool in pools.items()}

    def _picked(self, group: str | None, pool: list[Sample]) -> tuple[Sample, ...]:
        if self.pick == "seeded":
            once = {row.question: row for row in reversed(pool)}.values()  # of rows with equal questions the first
            pool = sorted(once, key=lambda row: derived_seed(self.seed, row.question, *row.choices))
        if len(pool) < self.count:
            where = f"{self.split}" + (f" of {group}" if group is not None else "")
            raise DatasetError(f"{self.count} worked examples are needed and {where} has {len(pool)} rows for them")
        return tuple(pool[: self.count])

    def key(self) -> list[object]:
        """The rule, for hashes."""
        return [self.split, self.count, self.pick, self.seed, *([self.skip] if self.skip else [])]


def load_shots(name: str) -> tuple[Shot, ...]:
    """The worked examples of that name, in file order. ConfigError when there is no such file."""
    folder = resources.files("wattrack.tasks") / "shots"
    file = folder / f"{name}.yaml"
    if not file.is_file():
        known = sorted(f.name.removesuffix(".yaml") for f in folder.iterdir())
        raise ConfigError(f"shots={name}: no such worked examples; there are: {', '.join(known)}")
    rows: list[Mapping[str, str]] = yaml.safe_load(file.read_text("utf-8"))
    return tuple(Shot(question=row["question"].strip(), answer=row["answer"].strip()) for row in rows)
