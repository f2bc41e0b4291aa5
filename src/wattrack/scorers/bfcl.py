"""Whether calls are among the accepted ones: the rules of the Berkeley Function-Calling Leaderboard.

Values are Python's here; those of Java and JavaScript functions are texts that `bfcl_java` and `bfcl_javascript` read
first.

Source: ShishirPatil/gorilla, bfcl_eval/eval_checker/ast_eval/ast_checker.py. Its quirks are kept, because they are in
every published score: types are Python's own (an integer passes for a float, not the reverse; of nested lists one level
is checked); texts are compared without blanks, case and `,./-_*^`; a value of the accepted answer's type passes where
the description says another ("a variable"); an accepted "" means that the argument may be left out.

Deviations: (1) dots and underscores in function names are equal for every model (upstream: for a list of models);
(2) parallel calls are matched to the answers by a maximum matching, not greedily, so that their order cannot matter;
(3) what would stop the upstream program (a value that its comparison cannot iterate) is wrong here.
Compared with the checker of bfcl-eval 2026.3.23 on 94,040 right and damaged sets of calls made from the published rows:
8 verdicts differ, all by (2), on the rows parallel_178 and parallel_180.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from wattrack.scorers.calls import Call
from wattrack.scorers.matching import assignment

TYPES: Mapping[str, type] = {
    "string": str,
    "integer": int,
    "float": float,
    "boolean": bool,
    "array": list,
    "tuple": list,
    "dict": dict,
    "any": str,
}
"""The leaderboard's type names in the descriptions of Python functions."""

Function = Mapping[str, object]
Accepted = Sequence[object]
"""Values accepted for one argument; "" = it may be left out."""
Answer = Mapping[str, Mapping[str, Accepted]]
"""{function: {argument: accepted values}} with one function."""
Accepts = Callable[[object, Mapping[str, object], Accepted], bool]
"""(value, its description, the accepted values) -> verdict, by the rules of one language."""


def mistake(
    functions: Sequence[Function], answers: Sequence[Answer], calls: Sequence[Call], accepts: Accepts | None = None
) -> str | None:
    """Why the calls are not what was asked for; None when they are. `accepts` is Python's rule unless given."""
    if len(calls) != len(answers):
        return f"expected {len(answers)} calls, got {len(calls)}"
    by = accepts or value_accepted
    reasons = [[call_mistake(described_by(functions, a), a, call, by) for call in calls] for a in answers]
    matched = assignment([[float(reason is None) for reason in row] for row in reasons])
    missing = next((number for number, column in enumerate(matched) if column is None), None)
    if missing is None:
        return None
    if len(calls) == 1:
        return reasons[0][0]
    return f"no call is accepted for answer {missing + 1} of {len(answers)} ({', '.join(answers[missing])})"


def described_by(functions: Sequence[Function], answer: Answer) -> Function:
    """The description of the function that an answer calls."""
    return next((function for function in functions if function["name"] in answer), functions[0])


def call_mistake(function: Function, answer: Answer, call: Call, accepts: Accepts) -> str | None:
    """Why one call is not accepted."""
    if _plain(call.name) != _plain(str(function["name"])):
        return f"expected function {function['name']}, got {call.name:.60}"
    parameters = function["parameters"]
    assert isinstance(parameters, Mapping), "the task checks its rows"
    accepted = next(iter(answer.values()))
    for name in parameters.get("required", ()):
        if name not in call.arguments:
            return f"required argument {name} is missing"
    for name, value in call.arguments.items():
        if name not in parameters["properties"] or name not in accepted:
            return f"unexpected argument {name:.60}"
        if not accepts(value, parameters["properties"][name], accepted[name]):
            return f"{name} = {value!r:.80} is not accepted"
    for name, values in accepted.items():
        if name not in call.arguments and "" not in values:
            return f"argument {name} is missing"
    return None


def _plain(name: str) -> str:
    return name.replace(".", "_")


def value_accepted(value: object, details: Mapping[str, object], accepted: Accepted) -> bool:
    """Whether a value of a Python call has the described type and is one of the accepted ones."""
    kind = str(details["type"])
    if kind == "tuple" and isinstance(value, tuple):
        value = list(value)
    if kind == "float" and type(value) is int and abs(value) < 2**1023:
        value = float(value)
    expected, nested = TYPES[kind], item_type(details)
    return typed_accepted(value, expected, TYPES.get(nested or "") if expected is list else None, accepted)


def item_type(details: Mapping[str, object]) -> str | None:
    """The type of a list's elements; None where the description gives none."""
    items = details.get("items")
    return str(items["type"]) if isinstance(items, Mapping) and "type" in items else None


def typed_accepted(value: object, expected: type, nested: type | None, accepted: Accepted) -> bool:
    """The same for a value as Python has it; `nested` is the type of a list's elements, where it is to be checked."""
    variable = _is_variable(value, accepted, expected, nested)
    if variable is None:
        return False
    if variable:
        return value in accepted
    if isinstance(value, dict):
        return _dict_accepted(value, accepted)
    if isinstance(value, list) and nested is dict:
        return any(_dicts_accepted(value, options) for options in accepted)
    if isinstance(value, list):
        simple = [_simple(item) for item in value]
        lists = [_as_list(options) for options in accepted]
        return any(simple == [_simple(item) for item in options] for options in lists if options is not None)
    return _simple(value) in [_simple(option) for option in accepted]


def _is_variable(value: object, accepted: Accepted, expected: type, nested: type | None) -> bool | None:
    """None: of a wrong type. True: of the accepted answers' type where the description says another."""
    known = next((type(option) for option in accepted if option != ""), None)
    if isinstance(value, list) and expected is list and nested is not None:
        fits = any(
            not isinstance(options, list)
            or all(_is_variable(item, options, nested, None) is not None for item in value)
            for options in accepted
        )
        return known is not None and known is not expected if fits else None
    if type(value) is expected:
        return known is not None and known is not expected
    return True if known is not None and type(value) is known else None


def _as_list(options: object) -> list[object] | None:
    """An accepted list; upstream takes "", which marks an argument as optional, for an empty one."""
    return options if isinstance(options, list) else [] if options == "" else None


def _dict_accepted(value: Mapping[object, object], accepted: Accepted) -> bool:
    return any(
        all(key in options and _simple(item) in [_simple(o) for o in options[key]] for key, item in value.items())
        and all(key in value or "" in choices for key, choices in options.items())
        for options in accepted
        if isinstance(options, Mapping)
    )


def _dicts_accepted(value: Sequence[object], options: object) -> bool:
    """Dictionaries in the order of one accepted list."""
    expected = _as_list(options)
    if expected is None or len(value) != len(expected):
        return False
    return all(
        isinstance(item, dict) and _dict_accepted(item, [option]) for item, option in zip(value, expected, strict=True)
    )


def _simple(value: object) -> object:
    """A text without blanks, `,./-_*^`, case and the difference between quotes; other values as they are."""
    return re.sub(r"[ ,./\-_*^]", "", value).lower().replace("'", '"') if isinstance(value, str) else value
