"""The function calls in a reply, in the forms that models write them.

- `tags`: `<tool_call>{"name": "f", "arguments": {}}</tool_call>`, any number, with text around or not (Hermes, Qwen).
- `json`: the whole reply is such an object, a list of them or several divided by semicolons, commas or blanks (Llama);
  also with `parameters` (Llama) or OpenAI's wrappers.
- `python`: the whole reply is `[f(a=1), g()]` or one call (the leaderboard's prompting mode).
- `source`: in the place of `python`, read by the syntax of the functions' own language.

One code fence around the whole reply is left out. Nothing is ever evaluated.
"""

import ast
import json
import operator
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from wattrack.scorers.json_reply import parse, parse_several

Form = Literal["tags", "json", "python", "source", "none"]

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_LONGEST_PYTHON = 20_000
"""Characters; beyond them a reply is not parsed as Python, whose parser recurses."""
_ATTEMPT = re.compile(
    r'\[?\s*(?:\{\s*(?:"name"\s*:\s*"[^"]*"\s*,\s*"(?:arguments|parameters)"|"(?:function|tool_calls)")\s*:'
    r'|\{\s*"type"\s*:\s*"function"|[A-Za-z_][\w.]*\(\s*(?:\w+\s*=|\)|\*))'
)
"""How a reply begins that is meant to be a call."""
_FENCED = re.compile(r"```[^\n`]*\n(?P<inside>[^`]*)```")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One function call."""

    name: str
    arguments: Mapping[str, object]
    """Python's tuples stay tuples; variables and expressions that are no values stay text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReply:
    """What a reply asks for."""

    calls: tuple[Call, ...]
    form: Form
    error: str | None
    """Why a reply that is meant to call cannot be read; there are no calls then."""
    text: str
    """The reply, for people."""


def read_calls(text: str, source: Callable[[str], tuple[Call, ...]] | None = None) -> CallReply:
    """Every call of a reply; never raises. `source` reads the syntax of another language, in the place of Python's."""
    whole = text.strip()
    try:
        form, calls = _read(whole, source)
    except (ValueError, RecursionError, MemoryError) as e:
        return CallReply(calls=(), form="none", error=f"{type(e).__name__}: {e}"[:200], text=whole)
    attempt = not calls and _ATTEMPT.match(whole) is not None
    return CallReply(calls=calls, form=form, error="a call that cannot be read" if attempt else None, text=whole)


def calls_text(calls: tuple[Call, ...]) -> str:
    """The calls on one line, for tables."""
    return json.dumps([{"name": c.name, "arguments": c.arguments} for c in calls], ensure_ascii=True, default=str)


def _read(whole: str, source: Callable[[str], tuple[Call, ...]] | None) -> tuple[Form, tuple[Call, ...]]:
    """(form, calls); ValueError for a broken call between tags."""
    if _OPEN in whole:
        bodies = [part.partition(_CLOSE)[0] for part in whole.split(_OPEN)[1:]]
        return "tags", tuple(_call(parse(body.strip()), bare=True) for body in bodies)
    fence = _FENCED.fullmatch(whole)
    body = (fence["inside"] if fence else whole).strip("` \n")
    if body.startswith(("{", "[")):
        try:
            return "json", tuple(call for value in parse_several(body) for call in _json_calls(value))
        except ValueError:
            pass
    calls = source(body) if source else _python_calls(body)
    return ("source" if source else "python", calls) if calls else ("none", ())


def _json_calls(value: object) -> tuple[Call, ...]:
    if isinstance(value, dict) and isinstance(value.get("tool_calls"), list):
        value = value["tool_calls"]
    return tuple(_call(item) for item in (value if isinstance(value, list) else [value]))


def _call(value: object, *, bare: bool = False) -> Call:
    """One JSON call; `bare` admits a name without arguments. ValueError when it is none."""
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise ValueError("expected an object with `name` and `arguments`")
    arguments = value.get("arguments", value.get("parameters", {} if bare else None))
    if isinstance(arguments, str):
        arguments = parse(arguments)
    if not isinstance(arguments, dict):
        raise ValueError("`arguments` must be an object")
    return Call(name=value["name"], arguments=arguments)


def _python_calls(text: str) -> tuple[Call, ...]:
    """Calls of an expression `[f(a=1), g()]` or `f(a=1)`; none when the text is something else."""
    if not text.endswith((")", "]")) or len(text) > _LONGEST_PYTHON:
        return ()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape in a string is the model's business
            tree = ast.parse(text if text.startswith("[") else f"[{text}]", mode="eval").body
        if not isinstance(tree, ast.List) or not all(isinstance(item, ast.Call) for item in tree.elts):
            return ()
        return tuple(_python_call(item) for item in tree.elts if isinstance(item, ast.Call))
    except (SyntaxError, ValueError, TypeError, OverflowError, ZeroDivisionError, RecursionError, MemoryError):
        return ()


def _python_call(node: ast.Call) -> Call:
    """Positional arguments are dropped, as the leaderboard does: nothing says which parameter they are."""
    if not all(isinstance(part, ast.Name | ast.Attribute) for part in _chain(node.func)):
        raise ValueError("a function must be called by its name")
    if any(keyword.arg is None for keyword in node.keywords):
        raise ValueError("**arguments have no value")
    return Call(name=ast.unparse(node.func), arguments={str(k.arg): _value(k.value) for k in node.keywords})


def _chain(node: ast.expr) -> list[ast.expr]:
    """a.b.c as its three nodes."""
    found = [node]
    while isinstance(node, ast.Attribute):
        node = node.value
        found.append(node)
    return found


def _value(node: ast.expr) -> object:
    """A literal's value, a variable's name, a call as {name: arguments}; ValueError for other expressions."""
    match node:
        case ast.Constant(value=value):
            return value if isinstance(value, str | int | float | None) else ast.unparse(node)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as op):
            number = _number(_value(node.operand))
            return -number if isinstance(op, ast.USub) else number
        case ast.BinOp(op=op) if type(op) in _ARITHMETIC:
            return _ARITHMETIC[type(op)](_number(_value(node.left)), _number(_value(node.right)))
        case ast.List(elts=items):
            return [_value(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_value(item) for item in items)
        case ast.Dict(keys=keys, values=values):
            return {_key(key): _value(value) for key, value in zip(keys, values, strict=True)}
        case ast.Name(id=name):
            return name
        case ast.Call(keywords=[_, *_]):
            call = _python_call(node)
            return {call.name: call.arguments}
        case ast.Call() | ast.Subscript() | ast.Lambda():
            return ast.unparse(node)
    raise ValueError(f"{type(node).__name__} is no value")


_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
"""What a model may leave to be computed; powers could fill the memory."""


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r:.40} is no number")
    return value


def _key(node: ast.expr | None) -> object:
    if node is None:
        raise ValueError("**values have no key")
    value = _value(node)
    hash(value)  # TypeError: an unhashable key
    return value
