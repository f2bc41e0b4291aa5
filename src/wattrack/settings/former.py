"""Protocols as version 0.1 wrote them, with `style` beside `version`: read in stored runs, refused in new ones."""

from collections.abc import Mapping
from typing import Any

from wattrack.settings.prompting import taken

_STYLES = {
    "completion": "wattrack.prompts.completion.Completion",
    "chat": "wattrack.prompts.chat.Chat",
    "choices": "wattrack.prompts.choices.Choices",
    "letters": "wattrack.prompts.choices.Letters",
    "partial": "wattrack.prompts.choices.Partial",
    "tools": "wattrack.prompts.tools.Tools",
    "tools_text": "wattrack.prompts.tools.ToolsText",
    "tools_json": "wattrack.prompts.tools.ToolsJson",
    "turns": "wattrack.prompts.turns.Turns",
}
_DRAW = "wattrack.prompts.shots.Draw"
_DRAWN = {
    "shots_split": "split",
    "shots_count": "count",
    "shots_pick": "pick",
    "shots_seed": "seed",
    "shots_skip": "skip",
}
_MOVED = (
    *("template", "header", "shots", "shot_answer", "preamble", "context"),
    *("max_new_tokens", "temperature", "temperatures", "top_p", "stop", "fixed_length", "constrained"),
    *("prompt_tokens", "prompt_tokens_stddev", "max_new_tokens_stddev"),
)


def moved(leaf: str) -> str | None:
    """Where a setting of a protocol is now, below the protocol; None when it never was one."""
    if leaf == "style":
        return "prompt._target_"
    if leaf in _DRAWN:
        return f"prompt.shots.{_DRAWN[leaf]}"
    return f"prompt.{leaf}" if leaf in _MOVED else None


def upgraded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A job's whole configuration with its protocols as this version writes them."""
    dataset = settings.get("dataset")
    if not isinstance(dataset, Mapping) or not isinstance(dataset.get("protocols"), Mapping):
        return dict(settings)
    protocols = {name: _upgraded(protocol) for name, protocol in dataset["protocols"].items()}
    return {**settings, "dataset": {**dataset, "protocols": protocols}}


def _upgraded(protocol: Mapping[str, Any]) -> dict[str, Any]:
    if "style" not in protocol:
        return dict(protocol)
    kept = {k: v for k, v in protocol.items() if moved(k) is None}
    target = _STYLES[str(protocol["style"])]
    prompt = {k: protocol[k] for k in taken(target) if k in protocol}
    if protocol.get("shots_split") is not None:
        prompt["shots"] = {"_target_": _DRAW, **{new: protocol[old] for old, new in _DRAWN.items() if old in protocol}}
    return {**kept, "prompt": {"_target_": target, **prompt}}
