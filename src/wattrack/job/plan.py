"""What one job will do: its parts, built from a composed configuration and not loaded."""

from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from wattrack.errors import ConfigError
from wattrack.job.identity import job_name, run_key
from wattrack.monitors.carbon import CarbonMeter
from wattrack.monitors.meter import Meter
from wattrack.protocols import Engine
from wattrack.runs.manifest import Identity
from wattrack.settings import build, checks
from wattrack.settings.prompting import completed
from wattrack.tasks.task import Questions, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A job's parts: built, not loaded."""

    cfg: DictConfig
    name: str
    task: Task
    engine: Engine
    meter: Meter
    carbon: CarbonMeter
    output_dir: Path
    sweep_id: str | None
    swept: tuple[str, ...]
    """Keys of the settings that the sweep varies."""
    alone: bool
    """Whether the command runs this job and no other."""

    @classmethod
    def from_config(
        cls, cfg: DictConfig, output_dir: Path, sweep_id: str | None, swept: tuple[str, ...] = (), *, alone: bool = True
    ) -> "Plan":
        """Check values and build every part; ConfigError before anything heavy is imported."""
        checks.check(cfg)
        cfg = completed(cfg)
        if cfg.judge.model_id is not None:
            raise ConfigError("judge.model_id: a judge is asked afterwards: wattrack score RUN judge.model_id=...")
        if cfg.similarity.model_id is not None:
            raise ConfigError(
                "similarity.model_id: answers are compared afterwards: wattrack score RUN similarity.model_id=..."
            )
        task = build.task(cfg)
        if task.sandbox is not None:
            task.sandbox.require()
        return cls(
            cfg=cfg,
            name=job_name(cfg, swept),
            task=task,
            engine=build.engine(cfg),
            meter=build.meter(cfg),
            carbon=build.carbon(cfg),
            output_dir=output_dir,
            sweep_id=sweep_id,
            swept=swept,
            alone=alone,
        )

    @property
    def random_weights(self) -> bool:
        """Whether the model knows nothing, so that nothing it answers may be scored."""
        return str(self.cfg.model.weights) == "random"

    def identity(self, questions: Questions) -> Identity:
        """What the answers will depend on; the model is looked for, not loaded.

        Raises:
            EngineError: the model cannot be found, reached or held in memory.
        """
        found = self.engine.check()
        return Identity(
            run_key=run_key(self.cfg, questions.facts, questions.prompt, found.revision),
            model=found.model,
            revision=found.revision,
            prompt_sha256=questions.prompt.sha256(),
            dataset=questions.facts,
        )

    def questions(self) -> Questions:
        """The samples and requests of the job; DatasetError names file and line."""
        return self.task.questions(self.cfg.limit, self.cfg.seed, self.cfg.repeats)
