"""Whether a dataset's rows are at hand: told from the disk for the list, or by reading and checking every row."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from rich.table import Table

from wattrack import places
from wattrack.errors import DatasetError
from wattrack.settings import build, checks, config
from wattrack.tasks import hub
from wattrack.tasks.rows import find_local

READY, MISSING, GATED = "ready", "missing", "gated"


def state(dataset: Mapping[str, Any]) -> str:
    """`ready`, `missing` or `gated` and why, of a dataset's YAML; asks no network and reads no rows."""
    if folder := dataset.get("data_dir"):
        return _local(dataset, Path(folder))
    if dataset.get("generator"):
        return f"{READY}: generated"
    if dataset.get("embedded"):
        return f"{READY}: in the package"
    if not dataset.get("hub_id"):
        return f"{MISSING}: needs data_dir (1)"
    return _on_the_hub(dataset)


def _prompt(protocol: Mapping[str, Any]) -> Mapping[str, Any]:
    """How a protocol asks; nothing where its YAML says nothing readable of that, which running it refuses."""
    prompt = protocol.get("prompt")
    return prompt if isinstance(prompt, Mapping) else {}


def _local(dataset: Mapping[str, Any], folder: Path) -> str:
    split, files = str(dataset.get("split", "test")), dataset.get("files") or {}
    try:
        if dataset.get("reader"):
            if not folder.is_dir():
                raise DatasetError(f"dataset.data_dir={folder}: no such folder")
        else:
            for stem in dataset.get("parts") or [split]:
                find_local(folder, stem, files.get(split))
    except DatasetError as e:
        return f"{MISSING}: {e}"
    return f"{READY}: files in {folder}"


def _on_the_hub(dataset: Mapping[str, Any]) -> str:
    from huggingface_hub import constants

    hub_id, revision = str(dataset["hub_id"]), str(dataset.get("revision", "main"))
    configs = tuple(dataset.get("parts") or [dataset.get("hub_config")])
    split = str(dataset.get("split", "test"))
    commit = hub.complete_in_cache(hub_id, configs, split, revision)
    if commit is not None:
        shots = [_prompt(p).get("shots") for p in dataset["protocols"].values()]
        drawn = {rule["split"] for rule in shots if isinstance(rule, Mapping)}
        lacking = sorted(s for s in drawn if hub.complete_in_cache(hub_id, configs, s, revision) is None)
        without = f", without the worked examples ({', '.join(lacking)})" if lacking else ""
        return f"{READY}: {commit[:8]} in the cache{without}"
    if dataset.get("gated"):
        return f"{GATED}: HF_TOKEN is set (2)" if hub.has_token() else f"{GATED}: set HF_TOKEN (2)"
    if constants.HF_HUB_OFFLINE:
        return f"{MISSING}: not in the cache"
    return f"{MISSING}: still on the hub"


def notes(datasets: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What the numbers in the states stand for, and what else a dataset needs; one line each."""
    from huggingface_hub import constants

    lines = [
        "* the default protocol. `wattrack list dataset=NAME` reads every row of a dataset and checks it.",
        f"What is still on the hub is downloaded at first use, to {constants.HF_HUB_CACHE} (HF_HOME).",
    ]
    lines += [f"(1) {name}: dataset.data_dir is {d['obtain']}" for name, d in datasets.items() if d.get("obtain")]
    lines += [
        f"(2) {name}: accept the terms at {constants.ENDPOINT}/datasets/{d['hub_id']} with the token's account"
        for name, d in datasets.items()
        if d.get("gated")
    ]
    lines += [
        f"{name}: also needs the authors' prompts: dataset.prompts_dir"
        for name, d in datasets.items()
        if any(_prompt(p).get("preamble") for p in d["protocols"].values()) and not d.get("prompts_dir")
    ]
    return lines


def checked(overrides: Sequence[str]) -> Table:
    """One dataset with every row read: count, identity and digest. DatasetError names the row that is wrong."""
    config.register()
    with initialize_config_dir(str(places.conf_dir()), version_base="1.3"):
        cfg = compose("config", overrides=list(overrides))
    checks.check(cfg)
    return _table(cfg)


def _table(cfg: DictConfig) -> Table:
    task = build.task(cfg)
    samples, facts = task.samples(None, cfg.seed)
    stated = cfg.dataset.rows
    differs = stated is not None and stated != facts.rows
    table = Table("what", "value", show_header=False)
    for name, value in (
        ("protocol", facts.protocol),
        ("rows", f"{facts.rows}, but the publisher states {stated}" if differs else f"{facts.rows}"),
        ("ids", f"{samples[0].id} and so on, each once"),
        ("digest", facts.digest),
        ("read from", facts.source),
        ("revision", facts.revision or "none: not from the hub"),
        ("headline metric", task.headline),
        ("licence", cfg.dataset.licence or "unknown"),
    ):
        table.add_row(name, value)
    return table
