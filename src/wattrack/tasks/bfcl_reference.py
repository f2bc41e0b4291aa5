"""One accepted answer of a leaderboard's row as a reply, which its own scorer should take for right.

The answer files hold accepted values for every argument; of a few rows no call is accepted at all, and their references
are refused as any other reply.
"""

import json
from collections.abc import Mapping, Sequence

from wattrack.scorers.bfcl import Accepted, Answer, Function, described_by, item_type
from wattrack.tasks.bfcl_languages import Language


def reference(functions: Sequence[Function], answers: Sequence[Answer], language: Language | None) -> str:
    """The calls as JSON: first accepted values, without arguments that may be left out."""
    calls = []
    for answer in answers:
        ((name, accepted),) = answer.items()
        calls.append({"name": name, "arguments": _arguments(described_by(functions, answer), accepted, language)})
    return json.dumps(calls, ensure_ascii=False)


def _arguments(function: Function, accepted: Mapping[str, Accepted], language: Language | None) -> dict[str, object]:
    parameters = function["parameters"]
    assert isinstance(parameters, Mapping), "the task checks its rows"
    needed = {
        name: next((option for option in options if option != ""), "")
        for name, options in accepted.items()
        if options and (name in parameters.get("required", ()) or "" not in options)
    }
    if language is None:
        return {name: _first(value) for name, value in needed.items()}
    details = {name: parameters["properties"].get(name, {}) for name in needed}
    return {
        name: language.write(value, str(details[name].get("type")), item_type(details[name]))
        for name, value in needed.items()
    }


def _first(option: object) -> object:
    """An accepted value of Python; of dictionaries, which hold accepted values themselves, the first of each."""
    if isinstance(option, list):
        return [_first(item) if isinstance(item, Mapping) else item for item in option]
    if isinstance(option, Mapping):
        return {key: values[0] for key, values in option.items() if values[0] != ""}
    return option
